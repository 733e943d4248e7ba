"""The GPUs of a host that several runs and users share: who gets which, who waits, who holds what.

devices: the GPUs as NVML lists them
host: GPUs, cores and memory of the host, by which a run schedules
leases: a part of a device, held by a lock
choice: who gets what and who waits; a pure function
lease_folder: the folder that all users share
lease_gate: lets one run at a time decide
lease_notes: what the files of the folder say
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
