"""What people mend in a transcript, kept as changes beside it: the transcript itself stays as the machine wrote it."""
