"""PostgreSQL: pool, migrations, queries."""
