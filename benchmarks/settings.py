"""How much is measured: quick by default, or in full."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Sizes, in users and seconds. The defaults end in about a quarter of an hour on two cores."""

    plan_users: int = 1_000_000
    lists_users: int = 1_000_000
    delivery_users: int = 150_000
    fault_users: int = 15_000
    limit_users: int = 11_250
    cell_seconds: float = 3.0
    repeats: int = 3
    repeat_below_seconds: float = 1.0
    peer_plan_users: int = 100_000
    peer_lists_users: int = 100_000
    tls_delays_ms: tuple[int, ...] = (50,)
    transport_connections: tuple[int, ...] = (128,)
    export_rows: int = 500_000
    export_flat_rows: tuple[int, ...] = (100_000, 1_000_000)
    export_hours: int = 14 * 24
    engine_data: tuple[str, ...] = ("groceries", "films")
    engine_folds: int = 2
    engine_wide: bool = False
    engine_rows: int = 1_000_000

    @classmethod
    def full(cls, users: int) -> Settings:
        """Return what is published: whole sizes, three runs of whatever ends within half a minute."""
        return cls(
            plan_users=users,
            lists_users=users,
            delivery_users=min(users, 1_000_000),
            cell_seconds=20.0,
            repeat_below_seconds=30.0,
            peer_plan_users=users,
            peer_lists_users=users,
            tls_delays_ms=(0, 50, 200),
            transport_connections=(64, 128),
            export_rows=5 * users,
            export_flat_rows=(users, 10 * users),
            export_hours=365 * 24,
            engine_folds=10,
            engine_wide=True,
            engine_rows=10 * users,
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
            lists_users=users,
            peer_plan_users=min(users, default.peer_plan_users),
            peer_lists_users=min(users, default.peer_lists_users),
            export_rows=min(users, default.export_rows),
            export_flat_rows=tuple(min(users, rows) for rows in default.export_flat_rows),
            engine_rows=min(users, default.engine_rows),
        )
