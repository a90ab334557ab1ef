package kerr

// ConnectError is the error of a connection that could not be made.
type ConnectError struct {
	What string // the whole text: the broker, the addresses tried, the causes
	Err  error  // one of the causes, for errors.Is
}

func (e *ConnectError) Error() string { return e.What }

func (e *ConnectError) Unwrap() error { return e.Err }
