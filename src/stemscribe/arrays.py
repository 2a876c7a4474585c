"""What sound is to every room: float32, channels first."""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
