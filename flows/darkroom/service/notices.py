"""Whom Prefect's server notifies of runs that need attention: Apprise addresses, such as webhooks and e-mail.

The addresses are in a file that only the owner can read, one a line, since they hold passwords.
"""

from __future__ import annotations

from pathlib import Path

from prefect.blocks.notifications import AppriseNotificationBlock

from darkroom.base.errors import UsageError, explain_os_error
from darkroom.base.files import STATE_FOLDER

FILE = "notify"
BLOCK = "darkroom"
LATE = ": Late"
"""How the subject of a notice of a late run ends."""


class Notices(AppriseNotificationBlock):
    """Notifications to all the addresses of a project; `url` holds them, a line each."""

    _block_type_name = "darkroom notices"
    _block_type_slug = "darkroom-notices"

    async def notify(self, body: str, subject: str | None = None) -> None:
        """Send a late run as a warning, any other as a failure; webhooks get that as `type`."""
        self.notify_type = "warning" if (subject or "").endswith(LATE) else "failure"
        await self.anotify(body, subject)


def read_addresses(root: Path) -> str:
    """The file's lines; empty where there is none.

    Raises:
        UsageError: Others may read the file, it cannot be read, or a line of it is no address.

    """
    path = root / STATE_FOLDER / FILE
    if not path.exists():
        return ""
    if path.stat().st_mode & 0o077:
        raise UsageError(f"{path}: others may read it, and addresses hold passwords; chmod 600 it")
    from apprise import Apprise

    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise UsageError(explain_os_error(error, path)) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    kept = {number: line for number, line in enumerate(lines, 1) if line and not line.startswith("#")}
    for number, line in kept.items():
        if not Apprise().add(line):
            raise UsageError(f"{path}: line {number}: no address by Apprise; json://HOST/PATH is a webhook")
    return "\n".join(kept.values())
