"""What `pulumi up` runs: reads the settings and deploys the platform."""

from infra.program import program

program()
