"""GPUs of a host that several runs and users share: who gets which, who waits, who holds what.

devices: what NVML tells; host: that and the host's cores and memory, as what a run schedules by
leases: a part of a device, held by a lock; choice: who gets what and who waits, a pure function
lease_folder, lease_gate, lease_notes: the folder that all share, one decision at a time, what its files tell
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
