"""The policy pack: rules about resources, checked by the Pulumi engine and by the preview alike."""
