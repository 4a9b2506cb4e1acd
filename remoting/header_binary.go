package remoting

func (r *Request) decodeBinary(h []byte) (int, error)     { return 0, ErrHeaderLength }
func appendBinaryResponse(dst []byte, r *Response) []byte { return dst }
func appendBinaryCommand(dst []byte, c *Command) []byte   { return dst }
