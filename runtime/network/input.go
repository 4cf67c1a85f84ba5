package network

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// guardBox keeps containers from the box's own ports, at any of its addresses
// and over either IP: they reach each other, the outside and what is published,
// and may ping the box. A container that is to administer the box, or to use
// a service on it, is told so by --network host. In nft's words it adds
//
//	table inet entroos {
//		chain input { type filter hook input priority filter; policy accept;
//			iifname "entroos0" ct state established,related accept
//			iifname "entroos0" meta nfproto ipv4 meta l4proto icmp accept
//			iifname "entroos0" reject with icmpx admin-prohibited }
//	}
func guardBox(conn *nftables.Conn) {
	t := tableWriter{conn: conn, table: conn.AddTable(boxTable())}
	conn.FlushTable(t.table)
	input := t.chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter, nftables.ChainPolicyAccept)
	fromBridge := interfaceIs(expr.MetaKeyIIFNAME, expr.CmpOpEq, BridgeName)
	t.rule(input, fromBridge, conntrackHas(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED), verdict(expr.VerdictAccept))
	t.rule(input, fromBridge,
		metaIs(expr.MetaKeyNFPROTO, unix.NFPROTO_IPV4), metaIs(expr.MetaKeyL4PROTO, unix.IPPROTO_ICMP), verdict(expr.VerdictAccept))
	t.rule(input, fromBridge, []expr.Any{&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_ADMIN_PROHIBITED}})
}

func boxTable() *nftables.Table {
	return &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
}

func metaIs(key expr.MetaKey, value byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{value}}}
}
