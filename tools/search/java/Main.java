import java.nio.file.Path;
import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One node of OpenSearch on loopback, which takes documents through pipelines: `Main FOLDER HTTP TRANSPORT`. */
final class Main {
    // Not analysis-common: it wants a Java that knows where words of Thai end, and the one from PyPI does not.
    private static final String MODULES = String.join(",",
        "org.opensearch.index.mapper.MapperExtrasModulePlugin",
        "org.opensearch.ingest.common.IngestCommonModulePlugin",
        "org.opensearch.painless.PainlessModulePlugin",
        "org.opensearch.script.mustache.MustacheModulePlugin",
        "org.opensearch.transport.Netty4ModulePlugin");

    public static void main(final String[] arguments) throws Exception {
        final Path folder = Path.of(arguments[0]);
        try (OpenSearchRunner runner = new OpenSearchRunner()) {
            runner.onBuild((number, settings) -> {
                settings.putList("node.roles", "cluster_manager", "data", "ingest");
                settings.put("discovery.type", "single-node");
                settings.put("network.host", "127.0.0.1");
                settings.put("http.port", arguments[1]);
                settings.put("transport.port", arguments[2]);
                // The disk of whoever runs this may be as full as he likes.
                settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
            });
            runner.build(OpenSearchRunner.newConfigs()
                .basePath(folder.toString())
                .clusterName("modelcard-logs")
                .numOfNode(1)
                .moduleTypes(MODULES)
                .useLogger());
            Thread.currentThread().join();
        }
    }
}
