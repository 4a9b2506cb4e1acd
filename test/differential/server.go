package differential

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/epitaph-mq/epitaph/mq"
	"github.com/epitaph-mq/epitaph/remoting"
	"github.com/epitaph-mq/epitaph/remoting/body"
	"github.com/epitaph-mq/epitaph/test/kit"
)

// side is one of the two servers during one sequence.
type side struct {
	addr  string
	conns map[int]net.Conn
}

func (s *side) conn(i int) (net.Conn, error) {
	if c := s.conns[i]; c != nil {
		return c, nil
	}
	c, err := net.DialTimeout("tcp", s.addr, kit.Patience)
	if err == nil {
		s.conns[i] = c
	}
	return c, err
}

// lose ends a connection.
func (s *side) lose(i int) {
	if c := s.conns[i]; c != nil {
		c.Close()
		delete(s.conns, i)
	}
}

func (s *side) close() {
	for i := range s.conns {
		s.lose(i)
	}
}

// answer of a server that closed the connection instead.
var closed = &kit.Answer{Header: "closed the connection"}

// ask plays one step; nil for one that has no answer.
func (s *side) ask(prefix string, st step, opaque int32) (*kit.Answer, error) {
	if st.Code == 0 {
		s.lose(st.Conn)
		return nil, nil
	}
	c, err := s.conn(st.Conn)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(kit.Patience)); err != nil {
		return nil, err
	}
	cmd, err := st.command(prefix, opaque)
	if err != nil {
		return nil, err
	}
	frame := remoting.AppendRequest(nil, cmd)
	if st.Head != "" {
		frame = kit.Frame(0, strings.ReplaceAll(under(prefix, st.Head), "{opaque}", strconv.Itoa(int(opaque))), cmd.Body)
	}
	if _, err := c.Write(frame); err != nil {
		return nil, err
	}
	if st.Oneway {
		return nil, nil
	}
	a, err := kit.ReadFrame(c)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
		s.lose(st.Conn)
		return closed, nil
	}
	return a, err
}

// command builds the request of a step.
func (st step) command(prefix string, opaque int32) (*remoting.Command, error) {
	cmd := &remoting.Command{Code: st.Code, Version: st.Version, Opaque: opaque}
	if st.Binary {
		cmd.Type = remoting.RocketMQ
	}
	if st.Oneway {
		cmd.Flag = remoting.FlagOneway
	}
	if st.Ext != nil {
		cmd.Ext = make(map[string]string, len(st.Ext))
		for k, v := range st.Ext {
			cmd.Ext[k] = under(prefix, v)
		}
	}
	if st.Body != "" {
		cmd.Body = []byte(under(prefix, st.Body))
	}
	if st.Reg == nil {
		return cmd, nil
	}
	var err error
	cmd.Body, err = st.Reg.encode(prefix, st.Ext["brokerName"], st.Version)
	if st.Reg.CRC || st.Reg.BadCRC {
		sum := crc32.ChecksumIEEE(cmd.Body) & 0x7FFFFFFF
		if st.Reg.BadCRC {
			sum ^= 1
		}
		cmd.Ext["bodyCrc32"] = fmt.Sprint(sum)
	}
	return cmd, err
}

func (r *registration) encode(prefix, broker string, version int32) ([]byte, error) {
	if r.Empty {
		return nil, nil
	}
	reg := &body.Register{
		Wrapper: body.Present, TopicTable: body.Present, HasVersion: body.Present, MappingTable: body.Present, Filters: body.Present,
		Version: body.DataVersion{StateVersion: r.Version[0], Timestamp: r.Version[1], Counter: r.Version[2]},
	}
	for _, t := range r.Topics {
		name := []byte(under(prefix, t.Name))
		reg.Topics = append(reg.Topics, body.TopicConfig{
			Name: name, Key: name, ReadQueueNums: t.Read, WriteQueueNums: t.Write, Perm: t.Perm, TopicSysFlag: t.SysFlag,
		})
	}
	for _, f := range r.Filters {
		reg.FilterServers = append(reg.FilterServers, []byte(under(prefix, f)))
	}
	for i, name := range r.Mappings {
		name, broker := under(prefix, name), under(prefix, broker)
		reg.Mappings = append(reg.Mappings, body.TopicMapping{Topic: name, Mapping: body.Mapping{
			Topic: mq.Some(name), Scope: mq.Some("__global__"), Bname: mq.Some(broker), TotalQueues: 4, Epoch: int64(i + 1),
			CurrIDs: []body.QueueID{{Global: 0, Local: 0}, {Global: 3, Local: 1}},
		}})
	}
	switch {
	case r.Compressed:
		return body.AppendRegisterCompressed(nil, reg, version)
	case r.Bare:
		return body.AppendRegisterWrapper(nil, reg), nil
	}
	return bytes.Clone(body.AppendRegister(nil, reg)), nil
}
