"""Whether windows can ever open and which models they may name; whether memory pressure may change formats."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

from deepseek_operator.api.spec_scaling import FallbackTrigger, PressureAction
from deepseek_operator.api.v1alpha1 import Apply, DeepSeekDeploymentSpec
from deepseek_operator.errors import InvalidSpecError

_SOME_DAY = datetime(2024, 1, 1, tzinfo=UTC)
"""From which an expression is tried; any day does, because 50 years are looked through."""

_FIELDS = "minute, hour, day of month, month, day of week, such as '0 8 * * MON-FRI'"


def refuse_wrong_schedules(spec: DeepSeekDeploymentSpec) -> None:
    """Raise for the first window that never opens, and the first smaller model that no window could run.

    Raises:
        InvalidSpecError: names the field and what to write instead.
    """
    for index, window in enumerate(spec.scaling.schedules):
        field = f"spec.scaling.schedules[{index}]"
        if why := _why_no_cron(window.start):
            raise InvalidSpecError(f"{field}.start", f"'{window.start}' {why}; write {_FIELDS}")
        try:
            time_zone(window.time_zone)
        except (ValueError, OSError, KeyError):
            wanted = window.time_zone.rsplit("/", 1)[-1].lower()
            near = sorted(each for each in available_timezones() if each.rsplit("/", 1)[-1].lower() == wanted)
            meant = f"; did you mean {near[0]}?" if near else "; write one such as Europe/Berlin or UTC"
            raise InvalidSpecError(f"{field}.timeZone", f"'{window.time_zone}' is no time zone{meant}") from None
    _refuse_two_models(spec)


@lru_cache(maxsize=128)
def time_zone(name: str) -> ZoneInfo:
    """Return a time zone.

    Raises:
        ValueError, OSError, KeyError: there is no zone of that name.
    """
    return ZoneInfo(name)


@lru_cache(maxsize=128)
def _why_no_cron(expression: str) -> str:
    """Return why an expression never fires, or "" when it does."""
    try:
        next(CronSim(expression, _SOME_DAY))
    except CronSimError as error:
        return f"is no cron expression ({error})"
    except StopIteration:
        return "names a day that never comes"
    return ""


def refuse_wrong_pressure(spec: DeepSeekDeploymentSpec) -> None:
    """Raise where steps under memory pressure could not be taken.

    Raises:
        InvalidSpecError: names the field and what to write instead.
    """
    if spec.memory_pressure.action is PressureAction.QUANTIZE and spec.rollout.canary is not None:
        raise InvalidSpecError(
            "spec.rollout.canary", "a step under memory pressure cannot wait for a trial; leave out one of the two"
        )


def _refuse_two_models(spec: DeepSeekDeploymentSpec) -> None:
    """Raise where two models are named for one window, or one model in two revisions, or with a trial."""
    windows: set[str] = set()
    revisions: dict[str, str] = {}
    for index, fallback in enumerate(spec.fallbacks):
        field = f"spec.fallbacks[{index}]"
        if revisions.setdefault(fallback.model, fallback.revision) != fallback.revision:
            raise InvalidSpecError(f"{field}.revision", f"{fallback.model} is named before in another one; give one")
        if fallback.when is not FallbackTrigger.SCHEDULE or fallback.schedule is None:
            continue
        if fallback.schedule in windows:
            raise InvalidSpecError(f"{field}.schedule", "the window has a model already; name one for each")
        windows.add(fallback.schedule)
    if windows and spec.rollout.canary is not None:
        raise InvalidSpecError(
            "spec.rollout.canary", "a window that changes the model is no change to try; leave out one of the two"
        )
    if windows and spec.apply is Apply.MANUAL:
        raise InvalidSpecError(
            "spec.apply", "Manual names one plan, and windows with a model of their own need two; use Auto"
        )
