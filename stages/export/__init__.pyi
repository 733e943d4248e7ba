from .exporting import Exported as Exported
from .exporting import export_model as export_model
from .targets import Format as Format
