"""Programs that run inside pods, mounted from ConfigMaps. The operator reads their text and never imports them."""
