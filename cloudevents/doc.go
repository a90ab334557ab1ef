// Package cloudevents converts between envelopes and events of the CloudEvents
// SDK for Go, for services that have such events already. It is a package of its
// own so that contracts and services without it do not link the SDK.
package cloudevents
