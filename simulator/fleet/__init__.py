"""The same model over arrays, for very many proxies.

Control events (changes, debounce, PushContexts) stay events of the clock. What happens between two of them to
proxies that are only configured, the many, is advanced in arrays when the next control event is known:
`line` is the push queue with its slots and cores, `streams` the way to the proxies and their main threads,
`deliveries` what is written down. Proxies to whom more happens are played message by message, as ever; they
stand in the same line and use the same cores.
Who comes for configuration instead is in `polls` (with `loops` and `poll_server`) and `files`; what they get
does to them what `updates` says, one subscription at a time, and `parted` is written down of it.
"""
