"""The part of pulumi-aws that is used. The rest waits in `sys.modules` as modules that load when they are looked at.

Whatever looks at all modules, such as `inspect.stack`, would load two hundred services for it: half a minute. Without
their entries nothing looks; `pulumi_aws.ec2` still finds its own.
"""

from __future__ import annotations

import sys

import pulumi_aws
from pulumi._utils import _LazyModule  # to ask such a module what it is would wake it

iam, kms, s3, Provider = pulumi_aws.iam, pulumi_aws.kms, pulumi_aws.s3, pulumi_aws.Provider
USED = (iam.Role, kms.Key, s3.Bucket)  # looked at, so that they are loaded

for _name in [name for name, module in sys.modules.items() if name.startswith("pulumi_aws.")]:
    if type(sys.modules[_name]) is _LazyModule:
        del sys.modules[_name]
