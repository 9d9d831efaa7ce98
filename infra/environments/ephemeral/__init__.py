"""Preview environments: small stacks beside another one, for a branch or a person, that end by themselves."""
