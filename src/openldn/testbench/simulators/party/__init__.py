"""A simulated care provider with an existing system, as others meet it on the wire.

What the parties have in common stands here; what tells an LSP party, a Zorgplatform party and a
Nuts party apart is data, in `lsp_party`, `zorgplatform_party` and `nuts_party`. No code of a node
is used: messages are written and read here once more, by the specifications alone.
"""
