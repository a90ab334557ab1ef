package kerr

// ConnectError is the error of a connection that could not be made.
type ConnectError struct {
	What string
	Err  error
}

func (e *ConnectError) Error() string { return e.What }

func (e *ConnectError) Unwrap() error { return e.Err }
