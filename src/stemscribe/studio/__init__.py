"""The studio: a page on this machine where jobs are watched, stems are heard, and transcripts are read and mended.

A front door, as the command line is one: it parses, calls the rooms below, and shows. FastAPI and Uvicorn are imported
in this room alone.
"""
