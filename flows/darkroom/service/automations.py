"""What Prefect's server does by itself: it ends silent runs, and notifies people of runs that need attention.

Prefect sends heartbeats, but without an automation nothing acts on them. A run whose worker and process are
gone would stay Running for ever, and keep its deployment's slot.
"""

from __future__ import annotations

import contextlib
import datetime
from uuid import UUID

import sqlalchemy.exc
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from pydantic import SecretStr

from darkroom.service.notices import BLOCK, Notices
from darkroom.service.workers import HEARTBEAT_SECONDS

SILENCE = datetime.timedelta(seconds=5 * HEARTBEAT_SECONDS)
"""Five heartbeats in a row. Below three, runs were ended that were well and on a busy machine."""

SILENT_RUNS = "darkroom: runs without a sign of life"
_RUNS = "prefect.flow-run.*"
_BAD_ENDS = ("Failed", "Crashed", "TimedOut", "Late")
_NOTICES = "darkroom: notices of runs that need a look"
NOTICE = (
    "{% set lines = (flow_run.state.message or '').strip().splitlines() %}"
    "{{ lines | last }}\n{{ flow_run | ui_url or '' }}"
    "{% if lines | length > 1 %}\n\n{{ lines[:-1] | join('\n') }}{% endif %}"
)
"""The last line of what a run ends with is the reason: it comes first, then the run's page, then the rest."""


def silent_runs(silence: datetime.timedelta = SILENCE) -> AutomationCore:
    """Any event of a run is a sign of life, its end too."""
    return AutomationCore(
        name=SILENT_RUNS,
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


async def hear_anew() -> None:
    """Give each run its time from now on, in a database whose server is about to start.

    While that was away it heard of none; the first thing it would do is to end those that are well.
    """
    from prefect.server.database import provide_database_interface

    db, until = provide_database_interface(), datetime.datetime.now(datetime.UTC) + SILENCE
    silent = sqlalchemy.select(db.Automation.id).where(db.Automation.name == SILENT_RUNS)
    bucket = db.AutomationBucket
    with contextlib.suppress(sqlalchemy.exc.DBAPIError):  # the database is still empty
        async with db.session_context(begin_transaction=True) as session:
            await session.execute(
                sqlalchemy.update(bucket).where(bucket.automation_id.in_(silent)).values(end=until)
            )
    await (await db.engine()).dispose()


def notices_automation(block: UUID) -> AutomationCore:
    """Build the automation that tells of deployments' runs that end badly or are late, with their stages."""
    return AutomationCore(
        name=_NOTICES,
        description="Tells the addresses in .darkroom/notify of runs that failed, crashed or are late.",
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in _BAD_ENDS},
            match={"prefect.resource.id": _RUNS},
            match_related={"prefect.resource.role": "deployment"},
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            SendNotification(
                block_document_id=block,
                subject="darkroom: {{ deployment.name }} ({{ flow_run.name }}): {{ flow_run.state.name }}",
                body=NOTICE,
            )
        ],
    )


def register_automations(client: SyncPrefectClient, addresses: str) -> None:
    """Register them, or bring them up to date; whether they are on is the user's choice.

    Without addresses there are no notices.
    """
    wanted = [silent_runs()]
    if addresses:
        wanted.append(
            notices_automation(UUID(str(Notices(url=SecretStr(addresses)).save(BLOCK, overwrite=True))))
        )
    elif known := client.read_automations_by_name(_NOTICES):
        client.delete_automation(known[0].id)
    for automation in wanted:
        known = client.read_automations_by_name(automation.name)
        if known:
            automation = automation.model_copy(update={"enabled": known[0].enabled})
            client.update_automation(known[0].id, automation)
        else:
            client.create_automation(automation)
