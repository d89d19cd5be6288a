"""What each block of the network is, as plain data: free of MAX.

row.py    one row of an architecture table, its arguments by name
"""
