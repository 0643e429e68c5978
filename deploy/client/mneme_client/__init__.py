"""A robot's side of Mneme: observations go into a memory, memory tokens and answers come back."""

from .client import Answer, MnemeClient, MnemeClientError, Tokens
from .images import resize_with_pad
from .wire import pack, unpack

__all__ = ["Answer", "MnemeClient", "MnemeClientError", "Tokens", "pack", "resize_with_pad", "unpack"]
