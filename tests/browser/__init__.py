"""The pack in a real browser. A package, so that the browser closes before the next folder's tests:
while it is open this thread has a running event loop, and theirs would not start.
"""
