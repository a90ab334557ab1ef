// Package cloudevents converts between envelopes and events of the CloudEvents SDK for Go, for
// services that already use the SDK. It is a separate package so that other contracts and
// services do not link the SDK.
package cloudevents
