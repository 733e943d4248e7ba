from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .comparison import revision_json as revision_json
from .intervals import paired_differences as paired_differences
from .tables import print_comparison as print_comparison
from .tables import print_metrics as print_metrics
