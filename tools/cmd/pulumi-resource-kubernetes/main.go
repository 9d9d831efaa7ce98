// Command pulumi-resource-kubernetes is the Pulumi Kubernetes provider. The provider's own main embeds files that its
// release pipeline generates and its module lacks; deployments never read them (only `pulumi package` and
// `pulumi convert` do), so empty ones are served.
package main

import (
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

func main() {
	provider.Serve("kubernetes", version.Version, []byte("{}"), []byte("{}"))
}
