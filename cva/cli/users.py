"""`cva user`: people and their roles."""

import typer

from cva import staff
from cva.cli.output import Shape, say, show
from cva.cli.session import open_session

app = typer.Typer(help="People and their roles.", no_args_is_help=True)


@app.command()
def add(
    login: str,
    name: str = typer.Option(..., help="The person's name."),
    role: list[staff.Role] = typer.Option([], help="A role; repeat for several."),
    new_passphrase: str = typer.Option(
        ..., envvar="CVA_NEW_PASSPHRASE", prompt=True, hide_input=True, confirmation_prompt=True,
        help="The passphrase of the new person.",
    ),
) -> None:  # fmt: skip
    """Add a person, with a signing key sealed under their own passphrase."""
    session = open_session()
    own = session.passphrase()
    with session.transaction() as conn:
        added = staff.add_person(
            conn, session.person_id, login, name, new_passphrase, session.clock.now()
        )
        for each in role:
            staff.grant_role(
                conn, session.person_id, own, added.person_id, each, session.clock.now()
            )
    say(f"{login} was added with the roles: {', '.join(role) or 'none'}.")


@app.command()
def role(
    login: str,
    role: staff.Role,
    revoke: bool = typer.Option(False, "--revoke", help="Take the role away."),
) -> None:
    """Give a role to a person, or take it away; another administrator does yours."""
    session = open_session()
    passphrase = session.passphrase()
    with session.transaction() as conn:
        person = staff.person_of(conn, login)
        change = staff.revoke_role if revoke else staff.grant_role
        change(conn, session.person_id, passphrase, person.person_id, role, session.clock.now())
    say(f"{login} {'no longer holds' if revoke else 'holds'} the role {role}.")


@app.command("list")
def list_people(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List people with their roles."""
    session = open_session()
    with session.reading() as conn:
        rows = conn.execute(
            "SELECT p.login, p.name, coalesce(string_agg(r.role, ', ' ORDER BY r.role), '')"
            " FROM staff.person p LEFT JOIN staff.holds_role r USING (person_id)"
            " GROUP BY p.person_id ORDER BY p.login"
        ).fetchall()
    show(["login", "name", "roles"], rows, shape)
