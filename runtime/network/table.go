package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

const tableName = "entroos"

// writeTable replaces the table by one made from what is published now, in
// one transaction. Callers hold mu. In nft's words it is
//
//	table ip entroos {
//		chain guard { type filter hook prerouting priority raw; policy accept;
//			iifname != "lo" ip daddr 127.0.0.0/8 drop }
//		chain prerouting { type nat hook prerouting priority dstnat; policy accept;
//			(for each port) [ip daddr IP | fib daddr type local] tcp dport HOST dnat to ADDRESS:PORT }
//		chain output { type nat hook output priority dstnat; policy accept; (the same) }
//		chain postrouting { type nat hook postrouting priority srcnat; policy accept;
//			ip saddr 172.29.0.0/16 oifname != "entroos0" masquerade
//			oifname "entroos0" ip saddr 172.29.0.0/16 ct status dnat masquerade
//			oifname "entroos0" ip saddr 127.0.0.0/8 masquerade }
//		chain forward { type filter hook forward priority filter; policy drop;
//			iifname "entroos0" accept
//			oifname "entroos0" ct state established,related accept
//			oifname "entroos0" ct status dnat accept }
//	}
//
// The second masquerade is for a container that calls the box's address and
// ends up at a container: the answer must come back through the box. The box
// routes for its containers only. guardBox's table is beside it.
func (n *Network) writeTable() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nftables: %w", err)
	}
	t := tableWriter{conn: conn, table: conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: tableName})}
	conn.FlushTable(t.table) // the rules; chains stay
	guardBox(conn)

	guard := t.chain("guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, nftables.ChainPolicyAccept)
	t.rule(guard, interfaceIs(expr.MetaKeyIIFNAME, expr.CmpOpNeq, "lo"), destinationIn(loopback), verdict(expr.VerdictDrop))

	prerouting := t.chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest, nftables.ChainPolicyAccept)
	output := t.chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest, nftables.ChainPolicyAccept)
	for _, p := range n.published {
		for _, port := range p.ports {
			for _, chain := range []*nftables.Chain{prerouting, output} {
				t.rule(chain, portIs(port), translate(p.address, port.ContainerPort))
			}
		}
	}

	postrouting := t.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource, nftables.ChainPolicyAccept)
	masquerade := []expr.Any{&expr.Masq{}}
	toBridge := interfaceIs(expr.MetaKeyOIFNAME, expr.CmpOpEq, BridgeName)
	t.rule(postrouting, sourceIn(subnet), interfaceIs(expr.MetaKeyOIFNAME, expr.CmpOpNeq, BridgeName), masquerade)
	t.rule(postrouting, toBridge, sourceIn(subnet), conntrackHas(expr.CtKeySTATUS, statusTranslated), masquerade)
	t.rule(postrouting, toBridge, sourceIn(loopback), masquerade)

	forward := t.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter, nftables.ChainPolicyDrop)
	t.rule(forward, interfaceIs(expr.MetaKeyIIFNAME, expr.CmpOpEq, BridgeName), verdict(expr.VerdictAccept))
	t.rule(forward, toBridge, conntrackHas(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), verdict(expr.VerdictAccept))
	t.rule(forward, toBridge, conntrackHas(expr.CtKeySTATUS, statusTranslated), verdict(expr.VerdictAccept))

	if err := conn.Flush(); err != nil {
		return fmt.Errorf("nftables: write table %s: %w", tableName, err)
	}
	return nil
}

func removeTables() error {
	for _, table := range []*nftables.Table{{Family: nftables.TableFamilyIPv4, Name: tableName}, boxTable()} {
		conn, err := nftables.New()
		if err != nil {
			return fmt.Errorf("nftables: %w", err)
		}
		conn.DelTable(table) // alone in its transaction: it may not be there
		if err := conn.Flush(); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("nftables: remove table %s: %w", tableName, err)
		}
	}
	return nil
}

type tableWriter struct {
	conn  *nftables.Conn
	table *nftables.Table
}

func (t *tableWriter) chain(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority, policy nftables.ChainPolicy) *nftables.Chain {
	return t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: kind, Hooknum: hook, Priority: priority, Policy: &policy})
}

func (t *tableWriter) rule(chain *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: all})
}

// statusTranslated is IPS_DST_NAT of a connection's status.
const statusTranslated = 1 << 5

var loopback = netip.MustParsePrefix("127.0.0.0/8")

func interfaceIs(key expr.MetaKey, op expr.CmpOp, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: padded}}
}

// Offsets in the IPv4 header.
const (
	sourceOffset      = 12
	destinationOffset = 16
)

func sourceIn(p netip.Prefix) []expr.Any      { return addressIn(sourceOffset, p) }
func destinationIn(p netip.Prefix) []expr.Any { return addressIn(destinationOffset, p) }

func addressIn(offset uint32, p netip.Prefix) []expr.Any {
	mask := make([]byte, 4)
	binary.BigEndian.PutUint32(mask, ^uint32(0)<<(32-p.Bits()))
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: p.Masked().Addr().AsSlice()},
	}
}

// conntrackHas matches connections with one of bits in a property.
func conntrackHas(key expr.CtKey, bits uint32) []expr.Any {
	mask := make([]byte, 4)
	binary.NativeEndian.PutUint32(mask, bits)
	return []expr.Any{
		&expr.Ct{Key: key, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// portIs matches packets to a published port of the box.
func portIs(p Port) []expr.Any {
	protocol := byte(unix.IPPROTO_TCP)
	if p.Protocol == "udp" {
		protocol = unix.IPPROTO_UDP
	}
	var local []expr.Any
	if p.HostIP.IsValid() {
		local = destinationIn(netip.PrefixFrom(p.HostIP, 32))
	} else {
		addressType := make([]byte, 4)
		binary.NativeEndian.PutUint32(addressType, unix.RTN_LOCAL)
		local = []expr.Any{
			&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: addressType},
		}
	}
	return append(local,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, p.HostPort)},
	)
}

func translate(to netip.Addr, port uint16) []expr.Any {
	return []expr.Any{
		&expr.Immediate{Register: 1, Data: to.AsSlice()},
		&expr.Immediate{Register: 2, Data: binary.BigEndian.AppendUint16(nil, port)},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 2},
	}
}

func verdict(kind expr.VerdictKind) []expr.Any { return []expr.Any{&expr.Verdict{Kind: kind}} }
