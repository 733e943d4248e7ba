"""What Prefect's server does by itself: it says of a flow run that gives no sign of life that it has crashed.

Prefect sends heartbeats, but nothing looks at them: a run whose worker and process are gone stays Running,
and holds its deployment's place, for ever.
"""

from __future__ import annotations

import datetime

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

from flows.service.worker_process import HEARTBEAT_SECONDS

MISSED = 5
"""Heartbeats in a row. Below three, runs were ended that were well and on a busy machine."""

_RUNS = "prefect.flow-run.*"


def silent_runs() -> AutomationCore:
    """Any event of a run is a sign of life, its end too."""
    silence = datetime.timedelta(seconds=MISSED * HEARTBEAT_SECONDS)
    return AutomationCore(
        name="darkroom: runs without a sign of life",
        description=f"Says that a flow run has crashed that was silent for {silence.total_seconds():.0f} s.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={_RUNS},
            match={"prefect.resource.id": _RUNS},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=silence,
        ),
        actions=[
            ChangeFlowRunState(
                name="Crashed",
                state=StateType.CRASHED,
                message="no sign of life: its process is gone",
                force=False,
            )
        ],
    )


def register(client: SyncPrefectClient) -> None:
    """Register them, or bring them up to date; whether they are on is the user's choice."""
    for automation in (silent_runs(),):
        known = client.read_automations_by_name(automation.name)
        if known:
            automation = automation.model_copy(update={"enabled": known[0].enabled})
            client.update_automation(known[0].id, automation)
        else:
            client.create_automation(automation)
