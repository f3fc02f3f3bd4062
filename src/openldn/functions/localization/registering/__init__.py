"""Registration without anybody thinking of it: what the holder has, the index says."""
