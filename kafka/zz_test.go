package kafka
import ("testing";"github.com/twmb/franz-go/pkg/kfake";"github.com/eventbus-go/eventbus/transport")
func TestZZ(t *testing.T){
 k,err:=kfake.NewCluster(kfake.NumBrokers(3)); if err!=nil{t.Fatal(err)}; defer k.Close()
 tr:=New(Config{Brokers:k.ListenAddrs()}); defer tr.Close(t.Context())
 t.Log(tr.Cluster(t.Context()))
 t.Log(tr.Admin().CreateTopics(t.Context(), transport.TopicSpec{Name:"a",Partitions:4}))
 t.Log(tr.Admin().Topics(t.Context(),"a","b"))
 t.Log(tr.Admin().Topics(t.Context()))
 t.Log(tr.Admin().Offsets(t.Context(), transport.Latest(), transport.Partition{"a",1},transport.Partition{"a",2}))
 t.Log(tr.Admin().Offsets(t.Context(), transport.Latest(), transport.Partition{"b",1}))
 t.Log(tr.Admin().Committed(t.Context(),"g","a"))
 tr2:=New(Config{Brokers:[]string{"127.0.0.1:1"}})
 t.Log(tr2.Cluster(t.Context())); tr2.Close(t.Context())
}
