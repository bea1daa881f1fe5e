// What Istio makes of manifests, which are read from the standard input. Pods and namespaces may be among them.
//
//	istio analyze                           prints what `istioctl analyze` says, a JSON object a line
//	istio envoy router|sidecar NAMESPACE [LABEL=VALUE...]   prints what pilot sends such a proxy
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/pkg/networking/core"
	"istio.io/istio/pilot/pkg/xds/endpoints"
	"istio.io/istio/pilot/test/xdstest"
	"istio.io/istio/pkg/config/analysis/analyzers"
	"istio.io/istio/pkg/config/analysis/local"
	_ "istio.io/istio/pkg/config/xds"
	"istio.io/istio/pkg/log"
	"istio.io/istio/pkg/test"
)

func main() {
	// The standard output is for the result.
	logs := log.DefaultOptions()
	logs.OutputPaths = []string{"stderr"}
	check(log.Configure(logs))
	input, err := io.ReadAll(os.Stdin)
	check(err)
	switch {
	case len(os.Args) == 2 && os.Args[1] == "analyze":
		analyze(string(input))
	case len(os.Args) >= 4 && os.Args[1] == "envoy":
		envoy(string(input), os.Args[2], os.Args[3], os.Args[4:])
	default:
		fmt.Fprintln(os.Stderr, "istio analyze, or istio envoy router|sidecar NAMESPACE [LABEL=VALUE...]")
		os.Exit(2)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func analyze(manifests string) {
	analyzer := local.NewSourceAnalyzer(analyzers.AllCombined(), "", "istio-system", nil)
	check(analyzer.AddTestReaderKubeSource([]local.ReaderSource{{Name: "-", Reader: strings.NewReader(manifests)}}))
	result, err := analyzer.Analyze(make(chan struct{}))
	check(err)
	for _, message := range result.Messages {
		check(json.NewEncoder(os.Stdout).Encode(map[string]string{
			"code": message.Type.Code(), "level": message.Type.Level().String(), "text": message.String(),
		}))
	}
}

func envoy(manifests, kind, namespace string, labels []string) {
	resources := map[string][]json.RawMessage{}
	keep := func(name string, message proto.Message) {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
		check(err)
		resources[name] = append(resources[name], text)
	}
	check(test.Wrap(func(t test.Failer) {
		pilot := core.NewConfigGenTest(t, core.TestOptions{ConfigString: manifests})
		proxy := &model.Proxy{
			Type:            model.NodeType(kind),
			ConfigNamespace: namespace,
			Labels:          map[string]string{},
			Metadata:        &model.NodeMetadata{Namespace: namespace, IstioVersion: "1.29.5", Labels: map[string]string{}},
		}
		for _, label := range labels {
			name, value, _ := strings.Cut(label, "=")
			proxy.Labels[name], proxy.Metadata.Labels[name] = value, value
		}
		proxy = pilot.SetupProxy(proxy)
		listeners := pilot.Listeners(proxy)
		for _, listener := range listeners {
			keep("listeners", listener)
		}
		for _, route := range pilot.RoutesFromListeners(proxy, listeners) {
			keep("routes", route)
		}
		for _, cluster := range pilot.Clusters(proxy) {
			keep("clusters", cluster)
			if cluster.GetEdsClusterConfig() != nil {
				builder := endpoints.NewEndpointBuilder(cluster.Name, proxy, pilot.PushContext())
				keep("endpoints", builder.BuildClusterLoadAssignment(pilot.Env().EndpointIndex))
			}
		}
		for _, extension := range pilot.ConfigGen.BuildExtensionConfiguration(
			proxy, pilot.PushContext(), discovered(t, listeners), nil,
		) {
			keep("extensions", extension)
		}
	}))
	check(json.NewEncoder(os.Stdout).Encode(resources))
}

// Returns the names of the filters whose configurations come by discovery.
func discovered(t test.Failer, listeners []*listener.Listener) []string {
	names := []string{}
	for _, each := range listeners {
		for _, chain := range each.FilterChains {
			manager := xdstest.ExtractHTTPConnectionManager(t, chain)
			for _, filter := range manager.GetHttpFilters() {
				if filter.GetConfigDiscovery() != nil {
					names = append(names, filter.Name)
				}
			}
		}
	}
	return names
}
