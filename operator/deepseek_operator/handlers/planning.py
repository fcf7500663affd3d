"""Plans for the loops: computed beside the event loop, once per question.

The planner is a pure function, and after each change of nodes many objects ask the same question; so answers are
shared while the question (request and supply) is the same, also between loops that ask at the same moment.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from time import perf_counter

from deepseek_operator.metrics import Metrics
from deepseek_operator.performance.second_source import SecondSource
from deepseek_operator.planner.entry import plan_with
from deepseek_operator.planner.request import PlanRequest, Supply
from deepseek_operator.planner.result import Infeasible, Plan

REMEMBERED_ANSWERS = 512
"""About 10 kB each, so at most some 5 MB."""


class Planning:
    """Asks the planner and remembers its answers.

    Args:
        metrics: where plans are counted and timed.
        second: measured kernel times beside the roofline; None without the extra.
    """

    def __init__(self, metrics: Metrics, second: SecondSource | None = None) -> None:
        self._metrics = metrics
        self._second = second
        self._answers: OrderedDict[tuple[PlanRequest, Supply], asyncio.Task[Plan | Infeasible]] = OrderedDict()

    async def answer(self, request: PlanRequest, supply: Supply) -> Plan | Infeasible:
        """Return the planner's answer; an exception of the planner is not remembered."""
        key = (request, supply)
        task = self._answers.get(key)
        if task is None:
            task = self._answers[key] = asyncio.create_task(self._compute(request, supply))
            if len(self._answers) > REMEMBERED_ANSWERS:
                self._answers.popitem(last=False)
        else:
            self._answers.move_to_end(key)
        try:
            return await asyncio.shield(task)
        except Exception:
            self._answers.pop(key, None)
            raise

    async def _compute(self, request: PlanRequest, supply: Supply) -> Plan | Infeasible:
        started = perf_counter()
        answer = await asyncio.to_thread(plan_with, self._second, request, supply)
        self._metrics.plan_seconds.observe(perf_counter() - started)
        result = answer.reason.value if isinstance(answer, Infeasible) else "Planned"
        self._metrics.plans.labels(result=result).inc()
        return answer
