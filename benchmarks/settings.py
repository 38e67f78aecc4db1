"""How much is measured: quick by default, in full for what is published, or deep."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Settings:
    """Sizes, in users and seconds. The defaults end in about a quarter of an hour on two cores."""

    plan_users: int = 1_000_000
    lists_users: int = 1_000_000
    delivery_users: int = 150_000
    fault_users: int = 15_000
    limit_users: int = 11_250
    shared_limit_users: int = 225_000
    cell_seconds: float = 3.0
    repeats: int = 3
    repeat_below_seconds: float = 1.0
    peer_plan_users: int = 100_000
    peer_lists_users: int = 100_000
    delays_ms: tuple[int, ...] = (0, 50, 200)
    tls_delays_ms: tuple[int, ...] = (50,)
    transport_connections: tuple[int, ...] = (128,)
    transport_delays_ms: tuple[int, ...] = (100,)
    export_rows: int = 500_000
    export_flat_rows: tuple[int, ...] = (100_000, 1_000_000)
    export_hours: int = 14 * 24
    engine_data: tuple[str, ...] = ("groceries", "films")
    engine_folds: int = 2
    engine_wide: bool = False
    engine_rows: int = 1_000_000
    run_people: int = 200_000
    run_celery: bool = False

    @classmethod
    def full(cls, users: int) -> Settings:
        """Return what is published, in about half an hour.

        Whoever ends within the seconds of a cell runs three times. Whoever is stopped runs once, as the rate is that of
        all those seconds; the peers that need minutes for a million users get fewer, as theirs do not depend on it.
        """
        return cls(
            plan_users=users,
            lists_users=users,
            delivery_users=min(users, 500_000),
            cell_seconds=10.0,
            repeat_below_seconds=9.5,
            peer_plan_users=min(users, 200_000),
            peer_lists_users=min(users, 200_000),
            delays_ms=(0, 100, 200),
            tls_delays_ms=(100,),
            export_rows=5 * users,
            export_flat_rows=(users, 20 * users),
            export_hours=30 * 24,
            engine_folds=4,
            engine_rows=users,
            run_people=2 * users,
        )

    @classmethod
    def deep(cls, users: int) -> Settings:
        """Return the sizes that take hours: a year of intervals, all splits, the widest grid of the peer."""
        return replace(
            cls.full(users),
            tls_delays_ms=(0, 50, 200),
            transport_connections=(64, 128),
            transport_delays_ms=(50, 100),
            export_hours=365 * 24,
            engine_folds=10,
            engine_wide=True,
            engine_rows=10 * users,
            run_people=20 * users,
            run_celery=True,
        )

    @classmethod
    def quick(cls, users: int) -> Settings:
        """Return the default sizes, smaller ones where `users` asks for less."""
        default = cls()
        return cls(
            plan_users=users,
            delivery_users=min(users, default.delivery_users),
            fault_users=min(users, default.fault_users),
            limit_users=min(users, default.limit_users),
            shared_limit_users=min(users, default.shared_limit_users),
            lists_users=users,
            peer_plan_users=min(users, default.peer_plan_users),
            peer_lists_users=min(users, default.peer_lists_users),
            export_rows=min(users, default.export_rows),
            export_flat_rows=tuple(min(users, rows) for rows in default.export_flat_rows),
            engine_rows=min(users, default.engine_rows),
            run_people=min(users, default.run_people),
        )
