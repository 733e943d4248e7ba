from .denoising import denoised as denoised
from .denoising import noise_in as noise_in
from .exposure import well_exposed as well_exposed
from .filling import Mask as Mask
from .filling import blended as blended
from .filling import filled as filled
from .inversion import Inversion as Inversion
from .inversion import inverted as inverted
