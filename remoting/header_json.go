package remoting

func (r *Request) decodeJSON(h []byte) error            { return ErrHeaderLength }
func appendJSONResponse(dst []byte, r *Response) []byte { return dst }
func appendJSONCommand(dst []byte, c *Command) []byte   { return dst }
