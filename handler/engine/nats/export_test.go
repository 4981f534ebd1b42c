package nats

var Redacted = redacted
