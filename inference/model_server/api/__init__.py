"""
Say what a request may ask for and what an answer is: OpenAI's and KAITO's shapes, and errors.

Also the state that `/ready` and `/metrics` show. No socket, no tensors.
"""
