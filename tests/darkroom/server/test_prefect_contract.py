"""Every piece of Prefect that it does not promise to keep and that darkroom leans on.

A new version of Prefect fails here first, with the name of what changed. Each test names the pieces that it
looks at; that no piece in use is without a test, and no test without a use, is a test, too.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import prefect
import prefect.context
import prefect.flow_engine
import prefect.server.models
import prefect.settings
import pytest
import sqlalchemy
from fastapi import FastAPI
from prefect.blocks.notifications import AbstractAppriseNotificationBlock, AppriseNotificationBlock
from prefect.cli.deploy import _core as deploy_command
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.orchestration.routes import ServerRoutes
from prefect.client.schemas.objects import FlowRun
from prefect.context import (
    FlowRunContext,
    SettingsContext,
    get_settings_context,
    refresh_global_settings_context,
)
from prefect.deployments.runner import RunnerDeployment
from prefect.logging.configuration import load_logging_config
from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler
from prefect.server.api import artifacts, flow_runs, server
from prefect.server.concurrency.lease_storage import filesystem
from prefect.server.database import provide_database_interface
from prefect.server.events import actions, ordering, triggers
from prefect.server.events.clients import PrefectServerEventsClient
from prefect.server.events.ordering import memory
from prefect.server.models.events import flow_run_state_change_event
from prefect.server.schemas.actions import ArtifactUpdate
from prefect.server.schemas.responses import WorkerResponse
from prefect.server.utilities import encryption
from prefect.settings import get_current_settings
from prefect.settings.legacy import _get_settings_fields
from prefect.utilities.dispatch import get_dispatch_key
from prefect.workers.base import BaseJobConfiguration, BaseWorker
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

import darkroom
from darkroom.server import closed, database, event_order, login_links, login_page
from darkroom.service import server_process
from darkroom.service.notices import Notices
from darkroom.tracking.delivery_queue import without_retries

PROMISED = (
    "prefect",
    "prefect.blocks",
    "prefect.client",
    "prefect.deployments",
    "prefect.events",
    "prefect.exceptions",
    "prefect.logging",
    "prefect.settings",
    "prefect.states",
    "prefect.workers",
)
"""What Prefect's reference of its API describes: modules, and packages with all that is in them."""

NOT_PROMISED_AMONG_THESE = ("prefect.logging.handlers",)
OWN = ("self", "cls", "sys")
OWN_PATHS = {"/api", login_links.PATH, login_page.DOOR_PATH}
OWN_NAMES = ("prefect.yaml", "prefect.toml", "prefect.db", "prefect-server")
OWN_VARIABLES = ("PREFECT_", "PREFECT__", "PREFECT_LOGGING_", "PREFECT_SERVER_", "PREFECT_PROFILE")
"""Beginnings of several, and the one that its documentation names beside the settings."""
PACKAGE = Path(darkroom.__path__[0])
WITH_PREFECT = ("deployments", "server", "service", "tracking")

COVERED: set[str] = set()


def covers(*pieces: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a test as that of these pieces."""

    def note(test: Callable[..., None]) -> Callable[..., None]:
        COVERED.update(pieces)
        return test

    return note


def parameters(piece: Any) -> str:
    return " ".join(inspect.signature(inspect.unwrap(piece)).parameters)


def source(piece: Any) -> str:
    return " ".join(inspect.getsource(inspect.unwrap(piece)).split())


# The client and the API.


@cache
def served() -> Mapping[str, set[str]]:
    """The methods of each path of Prefect's API."""
    found: dict[str, set[str]] = {}

    def walk(application: Any, prefix: str) -> None:
        for route in application.routes:
            if hasattr(route, "original_router"):  # FastAPI's `include_router`
                walk(route.original_router, prefix + route.include_context.prefix)
            elif getattr(route, "methods", None):
                path = re.sub(r":\w+}", "}", prefix + route.path)
                found.setdefault(path, set()).update(route.methods)

    application: FastAPI = server.create_api_app()
    walk(application, "")
    return found


@covers(
    "path /artifacts/",
    "path /artifacts/{id}",
    "path /flow_runs/",
    "path /flow_runs/{id}/set_state",
    "path /health",
    "path /task_runs/",
    "path /work_pools/{work_pool_name}/workers/filter",
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/artifacts/"),
        ("PATCH", "/artifacts/{id}"),
        ("POST", "/flow_runs/"),
        ("POST", "/flow_runs/{id}/set_state"),
        ("GET", "/health"),
        ("POST", "/task_runs/"),
        ("POST", "/work_pools/{work_pool_name}/workers/filter"),
    ],
)
def test_the_api_has_the_paths_that_are_requested_by_hand(method: str, path: str) -> None:
    assert parameters(SyncPrefectClient.request) == "self method path params path_params kwargs"
    assert path in get_args(ServerRoutes)
    assert method in served()[path]


def test_the_api_takes_the_bodies_that_are_written_by_hand() -> None:
    assert {"state", "force"} <= {*inspect.signature(flow_runs.set_flow_run_state).parameters}
    assert "data" in ArtifactUpdate.model_fields
    assert inspect.signature(artifacts.update_artifact).parameters["artifact"].annotation in (
        "ArtifactUpdate",
        "actions.ArtifactUpdate",
        ArtifactUpdate,
    )
    assert {"name", "status"} <= {*WorkerResponse.model_fields}


@covers("import prefect.context.FlowRunContext")
def test_a_flow_run_knows_itself_and_a_line_can_be_kept_from_the_api() -> None:
    assert FlowRunContext.get() is None
    assert "flow_run" in FlowRunContext.model_fields
    assert 'getattr(record, "send_to_api", True)' in source(APILogHandler)


# Settings.


@covers("import prefect.context.refresh_global_settings_context")
def test_the_settings_are_read_anew_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        refresh_global_settings_context()
        assert get_current_settings().api.url == "http://127.0.0.1:9/api"
    finally:
        monkeypatch.undo()
        refresh_global_settings_context()


@covers("import prefect.context.SettingsContext", "import prefect.context.get_settings_context")
def test_a_client_without_retries_is_made_by_a_context_of_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert {"profile", "settings"} == {*SettingsContext.model_fields}
    refresh_global_settings_context()
    try:
        with without_retries(), get_client(sync_client=True) as client:
            assert get_current_settings().client.max_retries == 0
            assert str(client.api_url).rstrip("/") == "http://127.0.0.1:9/api"
        assert get_current_settings().client.max_retries > 0
    finally:
        monkeypatch.undo()
        refresh_global_settings_context()
    assert str(get_settings_context().settings.api.url) != "http://127.0.0.1:9/api"


@covers("variable PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS", "variable PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL")
def test_the_console_of_the_logs_is_set_by_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_CLASS", "a.b.C")
    monkeypatch.setenv("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
    set_to = load_logging_config(prefect.logging.configuration.DEFAULT_LOGGING_SETTINGS_PATH)
    console = set_to["handlers"]["console"]
    assert (console["class"], console["level"]) == ("a.b.C", "CRITICAL")


@covers("variable PREFECT_SERVER_ENCRYPTION_KEY")
def test_the_key_of_the_database_is_read_from_a_variable() -> None:
    assert '"PREFECT_SERVER_ENCRYPTION_KEY"' in source(encryption)


# The server.


@covers("import prefect.server.api.server.create_app")
def test_the_application_can_be_made_without_the_services() -> None:
    assert {"webserver_only"} <= {*inspect.signature(server.create_app).parameters}
    assert hasattr(FastAPI().router, "lifespan_context")
    api = get_current_settings().server.api
    assert {"auth_string", "csrf_protection_enabled", "cors_allowed_origins"} <= {*type(api).model_fields}
    assert callable(closed.application)


@covers("import prefect.server.database.provide_database_interface")
def test_the_database_has_the_tables_of_what_automations_wait_for() -> None:
    db = provide_database_interface()
    assert {"id", "name"} <= {*sqlalchemy.inspect(db.Automation).columns.keys()}
    assert {"automation_id", "end"} <= {*sqlalchemy.inspect(db.AutomationBucket).columns.keys()}
    assert "begin_transaction" in inspect.signature(db.session_context).parameters
    assert asyncio.iscoroutinefunction(db.engine)


@covers(
    "import prefect.server.models",
    "import prefect.server.schemas.actions",
    "import prefect.server.schemas.core",
    "import prefect.server.schemas.states",
    "name prefect.flow-run.id",
    "name prefect.flow.id",
)
def test_rows_can_be_written_as_prefect_writes_them() -> None:
    """What they must hold is compared in tests/darkroom/tracking/test_to_database.py."""
    db, models = provide_database_interface(), prefect.server.models
    of_both = {"id", "created", "updated", "name", "labels", "state_id", "state_type", "state_name"}
    of_both |= {"state_timestamp", "expected_start_time", "next_scheduled_start_time", "start_time"}
    of_both |= {"end_time", "total_run_time", "run_count"}
    of_run = of_both | {"flow_id", "parameters", "idempotency_key", "tags", "parent_task_run_id"}
    of_task = of_both | {"flow_run_id", "task_key", "dynamic_key", "task_inputs"}
    of_state = {"id", "type", "name", "message", "timestamp", "state_details"}
    for table, columns in (
        (db.FlowRun, of_run),
        (db.TaskRun, of_task),
        (db.FlowRunState, of_state | {"flow_run_id"}),
        (db.TaskRunState, of_state | {"task_run_id"}),
    ):
        assert columns <= {*table.__table__.columns.keys()}
    assert parameters(models.flows.create_flow) == "db session flow"
    assert parameters(models.logs.create_logs) == "db session logs"
    assert parameters(models.artifacts.create_artifact) == "session artifact"
    assert parameters(models.artifacts.read_artifact) == "db session artifact_id"
    assert parameters(models.artifacts.update_artifact) == "db session artifact_id artifact"
    assert parameters(models.configuration.write_configuration) == "db session configuration"
    assert parameters(models.configuration.delete_configuration) == "db session key"
    assert {"key", "value"} <= {*db.Configuration.__table__.columns.keys()}
    assert "prefect.flow.id" in source(models.flow_runs.with_system_labels_for_flow_run)
    of_tasks = source(models.task_runs.with_system_labels_for_task_run)
    assert "prefect.flow-run.id" in source(models.task_runs) + of_tasks


@covers(
    "import prefect.server.events.clients.PrefectServerEventsClient",
    "import prefect.server.models.events.flow_run_state_change_event",
)
def test_a_new_state_is_an_event_that_automations_hear() -> None:
    told = "session occurred flow_run initial_state_id initial_state validated_state_id validated_state"
    assert parameters(flow_run_state_change_event) == told
    assert parameters(PrefectServerEventsClient.emit) == "self event"


@covers("name prefect")
def test_the_migrations_bear_their_revisions_in_their_names() -> None:
    names = [path.stem for path in database._migrations().glob("2*.py")]
    assert len(names) > 50
    assert [name for name in names if not re.match(r"\d{4}_\d\d_\d\d_\d{6}_[0-9a-f]+_", name)] == []


@covers("name prefect.server.concurrency.lease_storage.filesystem")
def test_leases_of_concurrency_can_be_kept_in_files() -> None:
    assert hasattr(filesystem, "ConcurrencyLeaseStorage")


@covers(
    "import prefect.server.events.ordering.memory.CausalOrdering",
    "import prefect.server.events.schemas.events.ReceivedEvent",
    "overrides MemoryOrdering.wait_for_leader",
    "overrides MemoryOrdering.get_lost_followers",
)
def test_a_module_of_ours_can_order_events() -> None:
    assert isinstance(event_order, ordering.CausalOrderingModule)
    assert "await self.wait_for_leader(event)" in source(memory.CausalOrdering.preceding_event_confirmed)
    assert "self._waitlist[event.id] = event.received" in source(memory.CausalOrdering.record_follower)
    assert "get_triggers_causal_ordering().get_lost_followers()" in source(triggers.get_lost_followers)
    assert server_process.SETTINGS["PREFECT_SERVER_EVENTS_CAUSAL_ORDERING"] == event_order.__name__


@covers("path /v2/runs?hide-subflows=true", "name prefect-password")
def test_the_pages_are_where_a_link_leads_and_look_for_the_string_where_it_is_put() -> None:
    static = Path(str(prefect.__ui_v2_static_path__))
    scripts = "".join(path.read_text(encoding="utf-8", errors="replace") for path in static.rglob("*.js"))
    assert "hide-subflows" in scripts
    assert "prefect-password" in scripts
    assert server.UI_VERSION_PATH_SEGMENT == "v2"


# Workers and deployments.


@covers("replaces ProcessWorker.get_and_submit_flow_runs", "replaces ProcessWorker.run")
def test_a_worker_asks_for_runs_and_starts_them_by_the_methods_that_are_replaced() -> None:
    assert parameters(ProcessWorker.get_and_submit_flow_runs) == "self"
    assert "workload=self.get_and_submit_flow_runs" in source(BaseWorker.start)
    assert parameters(ProcessWorker.run) == "self flow_run configuration task_status"
    assert "await self.run(" in source(BaseWorker._submit_run_and_capture_errors)
    assert {"status_code", "identifier"} <= {*ProcessWorkerResult.model_fields}
    assert {"work_pool_name", "name"} <= {*inspect.signature(BaseWorker.__init__).parameters}
    assert "printer" in inspect.signature(BaseWorker.start).parameters
    assert {"client", "work_pool"} <= {*dir(BaseWorker)}


@covers(
    "overrides ProcessWorker.job_configuration",
    "overrides ProcessJobConfiguration.prepare_for_flow_run",
    "variable PREFECT__FLOW_RUN_ID",
    "name prefect.engine",
)
def test_a_flow_runs_process_is_told_which_it_is_and_its_command_can_be_another() -> None:
    assert ProcessWorker.job_configuration is ProcessJobConfiguration
    assert parameters(ProcessJobConfiguration.prepare_for_flow_run).startswith("self flow_run deployment ")
    run = FlowRun(id=uuid4(), flow_id=uuid4(), name="one")
    own = ProcessJobConfiguration(command="own command")
    own.prepare_for_flow_run(run)
    assert (own.command, own.env["PREFECT__FLOW_RUN_ID"]) == ("own command", str(run.id))
    plain = ProcessJobConfiguration()
    plain.prepare_for_flow_run(run)
    assert plain.command is not None
    assert plain.command.endswith(" -m prefect.engine")
    assert importlib.util.find_spec("prefect.engine") is not None
    assert issubclass(ProcessJobConfiguration, BaseJobConfiguration)


@covers("replaces RunnerDeployment.apply")
def test_prefect_deploy_registers_by_the_method_that_is_replaced() -> None:
    assert parameters(RunnerDeployment.apply).startswith("self ")
    assert "apply_coro = deployment.apply(" in source(deploy_command)
    assert "await apply_coro" in source(deploy_command)


@covers(
    "name prefect.flow-run.",
    "name prefect.flow-run.heartbeat",
    "name prefect.resource.id",
    "name prefect.resource.role",
)
def test_events_of_flow_runs_bear_the_names_that_automations_look_for() -> None:
    assert 'event="prefect.flow-run.heartbeat"' in source(prefect.flow_engine)
    events = importlib.import_module("prefect.server.models.events")
    said = source(events)
    assert 'event=f"prefect.flow-run.{' in said
    assert '"prefect.resource.id"' in said
    assert '"role": "deployment"' in said


@covers(
    "overrides AppriseNotificationBlock._block_type_name",
    "overrides AppriseNotificationBlock._block_type_slug",
)
def test_a_block_type_is_told_by_its_slug() -> None:
    assert get_dispatch_key(Notices) == "darkroom-notices"
    assert Notices.get_block_type_slug() == "darkroom-notices"
    assert Notices._to_block_type().name == "darkroom notices"
    assert "url" in AppriseNotificationBlock.model_fields


@covers("overrides AppriseNotificationBlock.notify")
def test_automations_await_notify_which_sends_the_type_of_the_block() -> None:
    assert "await block.notify(subject=subject, body=body)" in source(actions.SendNotification.act)
    assert parameters(AppriseNotificationBlock.anotify) == "self body subject"
    assert "notify_type=self.notify_type" in source(AbstractAppriseNotificationBlock.anotify)


@covers("replaces flow_engine.maintain_concurrency_lease")
def test_the_engine_keeps_its_place_by_the_function_that_is_replaced() -> None:
    assert parameters(prefect.flow_engine.maintain_concurrency_lease).startswith("lease_id lease_duration ")
    asked = "maintain_concurrency_lease( lease_id, 300, raise_on_lease_renewal_failure=True )"
    assert asked in source(prefect.flow_engine.FlowRunEngine.setup_run_context)
    assert parameters(SyncPrefectClient.renew_concurrency_lease) == "self lease_id lease_duration"


# Logs.


@covers("import prefect.logging.handlers.PrefectConsoleHandler", "overrides PrefectConsoleHandler.emit")
def test_the_handler_of_the_console_prints_a_record() -> None:
    assert parameters(PrefectConsoleHandler.emit) == "self record"
    assert issubclass(PrefectConsoleHandler, logging.Handler)


# What is in use.


def trees(paths: Iterator[Path]) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(paths):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def texts(paths: Iterator[Path]) -> Iterator[tuple[Path, str]]:
    """The texts of the code, but for docstrings."""
    for path, tree in trees(paths):
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                yield path, node.value


def with_prefect() -> Iterator[Path]:
    for name in WITH_PREFECT:
        yield from (PACKAGE / name).rglob("*.py")


def imported(tree: ast.Module) -> dict[str, tuple[str, Any]]:
    """What a module imports of Prefect: by its name there, where it is from, and itself."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "prefect":
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                piece = getattr(module, alias.name)
                found[alias.asname or alias.name] = f"{node.module}.{alias.name}", piece
    return found


def is_promised(place: str) -> bool:
    inside = any(place.startswith(f"{module}.") for module in PROMISED[1:]) or place.count(".") == 1
    return inside and not place.startswith(NOT_PROMISED_AMONG_THESE)


def imports() -> Iterator[str]:
    for _, tree in trees(PACKAGE.rglob("*.py")):
        yield from (f"import {place}" for place, _ in imported(tree).values() if not is_promised(place))


def changed_classes() -> Iterator[str]:
    """Methods and functions of Prefect's that are replaced, and what of its classes is overridden."""
    for _, tree in trees(PACKAGE.rglob("*.py")):
        pieces = {name: piece for name, (_, piece) in imported(tree).items()}
        classes = {name: piece for name, piece in pieces.items() if inspect.isclass(piece)}
        modules = {name: piece for name, piece in pieces.items() if inspect.ismodule(piece)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                yield from replaced({**classes, **modules}, node)
            if isinstance(node, ast.ClassDef):
                for base in {*map(ast.unparse, node.bases)} & {*classes}:
                    yield from (f"overrides {base}.{name}" for name in own_names(node, classes[base]))


def replaced(classes: Mapping[str, Any], node: ast.Assign) -> Iterator[str]:
    for target in node.targets:
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) not in OWN:
            for name, piece in classes.items():
                if callable(getattr(piece, target.attr, None)):
                    yield f"replaces {name}.{target.attr}"


def own_names(node: ast.ClassDef, base: Any) -> Iterator[str]:
    """What a class defines that its base has."""
    for part in node.body:
        names = [part.name] if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) else []
        if isinstance(part, ast.Assign):
            names = [target.id for target in part.targets if isinstance(target, ast.Name)]
        yield from (name for name in names if hasattr(base, name))


def private_attributes() -> Iterator[str]:
    for path, tree in trees(with_prefect()):
        for node in ast.walk(tree):
            private = isinstance(node, ast.Attribute) and re.match(r"_[^_]", node.attr)
            if isinstance(node, ast.Attribute) and private and ast.unparse(node.value) not in OWN:
                yield f"attribute {path.name}: {ast.unparse(node)}"


def named_in_texts() -> Iterator[str]:
    settings = {*_get_settings_fields(prefect.settings.Settings), *OWN_VARIABLES}
    for path, text in texts(PACKAGE.rglob("*.py")):
        yield from (
            f"variable {name}" for name in re.findall(r"\bPREFECT_[A-Z_]*", text) if name not in settings
        )
        if path.relative_to(PACKAGE).parts[0] not in WITH_PREFECT:
            continue
        if re.match(r"/[a-z]", text) and text not in OWN_PATHS:
            yield f"path {text}"
        for name in re.findall(r"\bprefect(?:[.-][a-z_-]+)*(?:\.(?=[*{]|$))?", text):
            if name not in OWN_NAMES and (name != "prefect" or text == name):
                yield f"name {name}"


@pytest.mark.slow
def test_every_piece_in_use_stands_here_and_no_other() -> None:
    found = {*imports(), *changed_classes(), *private_attributes(), *named_in_texts()}
    assert found - COVERED == set(), "in use without a test"
    assert COVERED - found == set(), "tested, and not in use any more"
