"""Floor 4: how others reach a memory over a wire: HTTP and WebSockets on Ray Serve, OpenAI's and openpi's protocols."""
