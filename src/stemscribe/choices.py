"""What can be chosen, by the names that users, jobs and rooms share."""

from typing import Literal

Engine = Literal["auto", "onnx", "torch"]
StemSet = Literal["two", "four", "six"]
StemFormat = Literal["wav", "flac", "mp3"]
StemSubtype = Literal["pcm16", "pcm24", "float"]
ClipMode = Literal["rescale", "clamp", "none"]
Device = Literal["auto", "cpu", "cuda", "mps", "coreml"]
AsrAudio = Literal["mix", "vocals"]
