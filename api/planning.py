"""A plan as a document: what, why, and what it waits for. Never an object's body. Pure."""

from __future__ import annotations

from typing import Any

from model.plan import Action, Create, Held, Plan, Replace, Update, Waiting


def plan_document(plan: Plan) -> dict[str, Any]:
    """The three lists of a plan. All empty: converged."""
    return {
        "now": [_action(one) for one in plan.now],
        "later": [_waiting(one) for one in plan.later],
        "held": [_held(one) for one in plan.held],
    }


def _action(action: Action) -> dict[str, Any]:
    unit = action.object.unit if isinstance(action, Create | Update | Replace) else action.unit
    return {
        "action": type(action).__name__,
        "object": str(action.ref),
        "unit": unit,
        "cause": str(action.cause),
        "why": action.why,
    }


def _waiting(waiting: Waiting) -> dict[str, Any]:
    return {
        "object": str(waiting.ref),
        "unit": waiting.unit,
        "why": waiting.why,
        "action": type(waiting.action).__name__ if waiting.action else None,
        "needs": [f"{need.unit} {need.state}" for need in waiting.unmet],
    }


def _held(held: Held) -> dict[str, Any]:
    return {"object": str(held.ref), "unit": held.unit, "why": held.why}
