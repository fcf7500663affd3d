"""Programs that run inside pods, mounted as files. The operator reads their text and never imports them."""
