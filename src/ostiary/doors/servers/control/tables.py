"""What the control plane keeps, as SQLAlchemy Core tables; the same on SQLite and PostgreSQL.

Identifiers are texts (``prj_…``, ``srv_…``), times are seconds since the epoch, JSON is canonical text. Nothing here is
a secret but ``authorities.private``, which is wrapped by a key that is not in the database. Tokens are kept as SHA-256.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
)

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# Of 64 bits on both. What SQLite calls INTEGER is the key of the table itself there: another would need an index beside it.
ROWID = BigInteger().with_variant(Integer(), "sqlite")

projects = Table(
    "projects",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("estate", String(128), nullable=False, server_default=""),  # ownership mark
    Column("settings", Text, nullable=False, server_default="{}"),  # wire.admin.Settings as JSON
    Column("uid_start", Integer, nullable=False, server_default="60001"),
    Column("gid_start", Integer, nullable=False, server_default="63001"),
    Column("uid_next", Integer, nullable=False),  # counters only grow: no number is given twice
    Column("gid_next", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),  # grows with whatever a host should know of
    Column("created", Float, nullable=False),
)

# One certificate authority of a project. ``use``: user, host, x509 or break-glass; ``state``: trusted (hosts believe it),
# signing (trusted, and signs), retired. ``private`` is wrapped; with ``kms_key`` there is none.
authorities = Table(
    "authorities",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("use", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("private", LargeBinary),
    Column("kms_key", Text),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),  # since when it is in its state
    CheckConstraint("use in ('user', 'host', 'x509', 'break-glass')", "use"),
    CheckConstraint("state in ('trusted', 'signing', 'retired')", "state"),
    Index(None, "project_id"),
)

servers = Table(
    "servers",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("name", String(253), nullable=False),
    Column("address", String(253), nullable=False),
    Column("port", Integer, nullable=False),
    Column("bastion", String(253), nullable=False),
    Column("host_key", Text, nullable=False),
    Column("host_certificate", Text, nullable=False),
    Column("renewals", Integer, nullable=False, server_default="0"),  # of it: news for this host
    Column("labels", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("enrolled", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("clock_offset", Float, nullable=False),
    Column("applied", BigInteger, nullable=False),  # the generation that the host says it has
    Column("machine", String(64), nullable=False, server_default=""),
    Column("boots", Text, nullable=False, server_default="[]"),  # boot ids met, the latest last
    Column("report", Text, nullable=False, server_default="{}"),  # trusted, problems, other ways
    Column("cloud", String(128), nullable=True, unique=True),  # AWS account/instance, on first use
    CheckConstraint("state in ('active', 'quarantined', 'retired')", "state"),
    UniqueConstraint("project_id", "name"),
    UniqueConstraint("host_key"),
    Index(None, "name"),  # of whatever project: who asks for a certificate names the server alone
)

enrollment_tokens = Table(
    "enrollment_tokens",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("uses_left", Integer, nullable=False),
    Column("expires", Float, nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("created", Float, nullable=False),
)

people = Table(
    "people",
    METADATA,
    Column("id", String(64), primary_key=True),  # the Okta user's id
    Column("login", String(320), nullable=False),
    # The name on the hosts of every project, chosen once: a login that changes at Okta does not change it.
    Column("local_login", String(32), nullable=False, unique=True),
    Column("groups", Text, nullable=False),  # names, as last read from Okta
    Column("active", Boolean, nullable=False),
    Column("read", Float, nullable=False),
    Column("refresh", LargeBinary),  # sealed refresh token, for orgs without a System Log to read
)

# Principals that are no people: CI, Ansible. Each has a row in ``people`` too, with the id and login ``machine:NAME``.
machines = Table(
    "machines",
    METADATA,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("machine", Text, nullable=False),  # wire.admin.Machine as JSON
    Column("bound", String(128), nullable=False, server_default=""),  # id of the AWS role
    UniqueConstraint("name"),
)

devices = Table(
    "devices",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("person_id", ForeignKey("people.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    CheckConstraint("state in ('active', 'revoked')", "state"),
    UniqueConstraint("person_id", "public_key"),
)

# Who has which LocalUser in a project. Rows stay for ever, so that a returning person has the former UID.
local_users = Table(
    "local_users",
    METADATA,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("person_id", ForeignKey("people.id"), primary_key=True),
    Column("login", String(32), nullable=False),
    Column("uid", Integer, nullable=False),
    Column("gid", Integer, nullable=False),
    UniqueConstraint("project_id", "uid"),
    UniqueConstraint("project_id", "gid"),
    UniqueConstraint("project_id", "login"),
)

# Which group of hosts an Okta group is in a project. Rows stay for ever, as those of users.
local_groups = Table(
    "local_groups",
    METADATA,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("okta_group", String(320), primary_key=True),
    Column("name", String(32), nullable=False),
    Column("gid", Integer, nullable=False),
    UniqueConstraint("project_id", "gid"),
    UniqueConstraint("project_id", "name"),
)

# One rule of who may do what. ``subject``: group:NAME or user:LOGIN; ``rule`` is the entitlement as JSON.
entitlements = Table(
    "entitlements",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("subject", String(320), nullable=False),
    Column("rule", Text, nullable=False),
    Column("until", Float),
    Column("ended", Boolean, nullable=False, server_default="0"),  # hosts were told that it has
    Column("created", Float, nullable=False),
    Index(None, "project_id"),
)

# Where a project requires it, a person's rules count only while one of these is good.
preauthorizations = Table(
    "preauthorizations",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("person", String(320), nullable=False),  # the Okta login when it was made
    Column(
        "person_id", String(64), nullable=False
    ),  # who has it since: "" while nobody is known by it
    Column("server_id", String(40), nullable=False),  # "" for every server of the project
    Column("until", Float, nullable=False),
    Column("reason", String(200), nullable=False),
    Column("made_by", String(320), nullable=False),
    Column("created", Float, nullable=False),
    Column("revoked", Boolean, nullable=False),
    Column("ended", Boolean, nullable=False),  # hosts were told that it has
    Index(None, "project_id"),
    Index(None, "person"),  # asked for when somebody is known by this login for the first time
)

sessions = Table(
    "sessions",
    METADATA,
    Column("hash", String(64), primary_key=True),
    Column("person_id", ForeignKey("people.id"), nullable=False),
    Column("device", String(128), nullable=False),  # id of a row of devices, or "" of a machine
    Column("proof_key", String(64), nullable=False, server_default=""),  # nothing without the token
    Column("signed_in", Float, nullable=False, server_default="0"),  # at the org: for max_age
    Column("strength", String(256), nullable=False, server_default=""),  # acr of the ID token
    Column("methods", String(256), nullable=False, server_default=""),  # amr, joined by spaces
    Column("expires", Float, nullable=False),
    Index(None, "person_id"),
)

# What may be used once, by its SHA-256, until it would have expired anyway: challenges of hosts, ID tokens.
challenges = Table(
    "challenges",
    METADATA,
    Column("challenge", String(64), primary_key=True),
    Column("expires", Float, nullable=False),
)

# Keys that every process on this database needs, wrapped as ``authorities.private`` is.
secrets = Table(
    "secrets",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("wrapped", LargeBinary, nullable=False),
)

chains = Table(
    "chains",
    METADATA,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

audit = Table(
    "audit",
    METADATA,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("time", String(32), nullable=False),
    Column("event", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)

certificates = Table(
    "certificates",
    METADATA,
    Column("serial", ROWID, primary_key=True, autoincrement=False),
    Column("project_id", ForeignKey("projects.id"), nullable=False),
    Column("server_id", String(40), nullable=False),
    Column("person_id", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),  # of the audit row that stands for it
    Column("expires", Float, nullable=False),
    Column("met", String(16), nullable=False),  # "", or the outcome that the host reported
)

OF_MACHINES = func.substr(certificates.c.person_id, 1, 8) == literal_column("'machine:'")
Index(
    "ix_certificates_of_machines",
    certificates.c.person_id,
    certificates.c.expires,
    sqlite_where=OF_MACHINES,
    postgresql_where=OF_MACHINES,
)

# One holder at a time of each duty (reading Okta's System Log, signing checkpoints), for all processes on a database.
leases = Table(
    "leases",
    METADATA,
    Column("duty", String(64), primary_key=True),
    Column("holder", String(128), nullable=False),
    Column("until", Float, nullable=False),
)

# How far an org's System Log was read: the link that comes next, and when its end was last reached.
cursors = Table(
    "cursors",
    METADATA,
    Column("org", String(253), primary_key=True),
    Column("next", Text, nullable=False),
    Column("read", Float, nullable=False),
    Column("interval", Float, nullable=False),
)

checkpoints = Table(
    "checkpoints",
    METADATA,
    Column("project_id", ForeignKey("projects.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("time", String(32), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("signature", Text, nullable=False),
)
