"""The xDS protocol as both ends speak it: resource types, resources, messages, subscriptions.

Pure rules without a clock, so that each can be read against the protocol text and tested alone.
"""
