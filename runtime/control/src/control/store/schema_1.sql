-- A state of schema 1, as mirrorc wrote it: policies main, site (two versions), bind (binding) and gone
-- (unloaded), with each kind of change and each type of key.
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE versions (
        policy TEXT, version INTEGER, loaded INTEGER, at_work INTEGER, bundle TEXT,
        PRIMARY KEY (policy, version)) WITHOUT ROWID;
INSERT INTO versions VALUES('bind',1,1796140590342153011,1,'{"roots":["bind.mrule"],"sets":[],"links":[[null,"bind.mrule","bind.mrule"]],"texts":{"bind.mrule":"table never : set<ip> = { 192.0.2.9 }\nlimit never { match net.src in never  snaplen none }\n"},"binding":true,"origin":{"owner":true},"inherited":[]}');
INSERT INTO versions VALUES('gone',1,1796140590094053991,2,'{"roots":["gone.mrule"],"sets":[],"links":[[null,"gone.mrule","gone.mrule"]],"texts":{"gone.mrule":"param head : size = 40 in 10..100\ntable quiet : set<ip> = { 192.0.2.1, 192.0.2.2 }\ntrigger attack by net.dst { external  hold 1h }\nstation lake { pcapng \"/captures/gone.pcapng\" }\nrule heads  { match icmp  snaplen head  to lake }\nrule attack { match attack[net.addr]  snaplen full  to lake }\nlimit quiet { match net.src in quiet  snaplen none }\n"},"binding":false,"origin":{"owner":true},"inherited":[]}');
INSERT INTO versions VALUES('main',1,1796140588065606554,1,'{"roots":["main.mrule"],"sets":[],"links":[[null,"main.mrule","main.mrule"]],"texts":{"main.mrule":"param head : size = 40 in 10..100\ntable quiet : set<ip> = { 192.0.2.1, 192.0.2.2 }\ntrigger attack by net.dst { external  hold 1h }\nstation lake { pcapng \"/captures/lake.pcapng\" }\nrule heads  { match icmp  snaplen head  to lake }\nrule attack { match attack[net.addr]  snaplen full  to lake }\nlimit quiet { match net.src in quiet  snaplen none }\n"},"binding":false,"origin":{"owner":true},"inherited":[]}');
INSERT INTO versions VALUES('site',1,1796140589998195848,0,'{"roots":["s1.mrule"],"sets":[],"links":[[null,"s1.mrule","s1.mrule"]],"texts":{"s1.mrule":"param rate : uint = 4 in 1..9\nparam on : bool = false\ntable nets   : set<cidr>\ntable hosts  : map<string, uint>\ntable macs   : set<mac>\ntable roles  : map<cidr, {admin, user, guest}>\ntable pairs  : set<(ip, uint)>\ntable apart  : set<unordered (ip, ip)>\ntable names  : set<unordered (string, string)>\ntable whole  : map<ip, string>\ntable ttls   : map<uint, duration>\ntrigger switch   { external  hold 1h }\ntrigger talk by (net.src, l4.dstport) { external  hold 1h }\ntrigger host by http.host { external  hold 1h }\nstation s { pcapng \"/captures/s.pcapng\" }\nstation t { pcapng \"/captures/t.pcapng\" }\nrule a { match net.src in nets or eth.src in macs or roles[net.src] == admin snaplen full to s }\nrule b { match (net.src, l4.dstport) in pairs or (net.src, net.dst) in apart or whole[net.src] == \"x\" snaplen full to s }\nrule c { match http.host in hosts or frame.len > rate or on or ttls[frame.len] > 1s snaplen full to s }\nrule d { match switch or talk[(net.src, l4.dstport)] snaplen full to t }\n"},"binding":false,"origin":{"owner":true},"inherited":[]}');
INSERT INTO versions VALUES('site',2,1796140590023699223,1,'{"roots":["site.mrule"],"sets":[],"links":[[null,"site.mrule","site.mrule"]],"texts":{"site.mrule":"param rate : uint = 5 in 1..9\nparam on : bool = false\ntable nets   : set<cidr>\ntable hosts  : map<string, uint>\ntable macs   : set<mac>\ntable roles  : map<cidr, {admin, user, guest}>\ntable pairs  : set<(ip, uint)>\ntable apart  : set<unordered (ip, ip)>\ntable names  : set<unordered (string, string)>\ntable whole  : map<ip, string>\ntable ttls   : map<uint, duration>\ntrigger switch   { external  hold 1h }\ntrigger talk by (net.src, l4.dstport) { external  hold 1h }\ntrigger host by http.host { external  hold 1h }\nstation s { pcapng \"/captures/s.pcapng\" }\nstation t { pcapng \"/captures/t.pcapng\" }\nrule a { match net.src in nets or eth.src in macs or roles[net.src] == admin snaplen full to s }\nrule b { match (net.src, l4.dstport) in pairs or (net.src, net.dst) in apart or whole[net.src] == \"x\" snaplen full to s }\nrule c { match http.host in hosts or frame.len > rate or on or ttls[frame.len] > 1s snaplen full to s }\nrule d { match switch or talk[(net.src, l4.dstport)] snaplen full to t }\n"},"binding":false,"origin":{"owner":true},"inherited":[]}');
CREATE TABLE changes (
        policy TEXT, kind TEXT, name TEXT, key TEXT, time INTEGER, until INTEGER, object TEXT,
        PRIMARY KEY (policy, kind, name, key)) WITHOUT ROWID;
INSERT INTO changes VALUES('main','param','head','',1796140590356401328,NULL,'{"value":"50","set":"head"}');
INSERT INTO changes VALUES('main','raise','attack','Ip(10.1.0.2, 32)',1796140590419364035,4388140590419364035,'{"key":["10.1.0.2"],"for":"30000d","raise":"attack"}');
INSERT INTO changes VALUES('main','row','quiet','Ip(10.9.9.7, 32)',1796140590448927435,NULL,'{"key":["10.9.9.7"],"add":"quiet"}');
INSERT INTO changes VALUES('main','row','quiet','Ip(10.9.9.8, 32)',1796140590384163950,1839340590384163950,'{"key":["10.9.9.8"],"for":"500d","add":"quiet"}');
INSERT INTO changes VALUES('main','row','quiet','Ip(10.9.9.9, 32)',1796140590367627891,NULL,'{"key":["10.9.9.9"],"add":"quiet"}');
INSERT INTO changes VALUES('main','row','quiet','Ip(192.0.2.2, 32)',1796140590400220003,NULL,'{"key":["192.0.2.2"],"remove":"quiet"}');
INSERT INTO changes VALUES('main','suppress','attack','Ip(10.1.0.4, 32)',1796140590438564624,NULL,'{"key":["10.1.0.4"],"reason":"ours","suppress":"attack"}');
INSERT INTO changes VALUES('site','drain','t','',1796140590711790521,NULL,'{"drain":"t"}');
INSERT INTO changes VALUES('site','param','on','',1796140590650120436,NULL,'{"value":"true","set":"on"}');
INSERT INTO changes VALUES('site','param','rate','',1796140590633102362,NULL,'{"value":"6","set":"rate"}');
INSERT INTO changes VALUES('site','raise','host','Text([101, 118, 105, 108, 46, 101, 120, 97, 109, 112, 108, 101])',1796140590679434188,2876140590679434188,'{"key":["evil.example"],"for":"300000h","raise":"host"}');
INSERT INTO changes VALUES('site','raise','switch','',1796140590662512289,4388140590662512289,'{"for":"30000d","raise":"switch"}');
INSERT INTO changes VALUES('site','raise','talk','Ip(10.0.0.1, 32), Num(443)',1796140590674237077,2876140590674237077,'{"key":["10.0.0.1","443"],"for":"300000h","raise":"talk"}');
INSERT INTO changes VALUES('site','row','apart','Ip(10.0.0.2, 32), Ip(10.0.0.22, 32)',1796140590575064422,NULL,'{"key":["10.0.0.22","10.0.0.2"],"add":"apart"}');
INSERT INTO changes VALUES('site','row','hosts','Text([97, 100, 115, 46, 101, 120, 97, 109, 112, 108, 101])',1796140590517350034,NULL,'{"key":["ads.example"],"value":"7","add":"hosts"}');
INSERT INTO changes VALUES('site','row','macs','Num(163396519731)',1796140590529376490,NULL,'{"key":["00:26:0b:31:07:33"],"add":"macs"}');
INSERT INTO changes VALUES('site','row','names','Text([98, 98]), Text([98])',1796140590590593952,NULL,'{"key":["bb","b"],"add":"names"}');
INSERT INTO changes VALUES('site','row','nets','Ip(10.0.0.0, 8)',1796140590470071371,NULL,'{"key":["10.0.0.0/8"],"add":"nets"}');
INSERT INTO changes VALUES('site','row','nets','Ip(2001:db8::, 32)',1796140590488254035,NULL,'{"key":["2001:db8::/32"],"add":"nets"}');
INSERT INTO changes VALUES('site','row','pairs','Ip(10.0.0.1, 32), Num(443)',1796140590562493727,NULL,'{"key":["10.0.0.1","443"],"add":"pairs"}');
INSERT INTO changes VALUES('site','row','roles','Ip(10.1.0.0, 16)',1796140590546086258,NULL,'{"key":["10.1.0.0/16"],"value":"admin","add":"roles"}');
INSERT INTO changes VALUES('site','row','ttls','Num(5)',1796140590602743660,NULL,'{"key":["5"],"value":"10m","add":"ttls"}');
INSERT INTO changes VALUES('site','row','whole','Ip(10.0.0.1, 32)',1796140590622073002,NULL,'{"add":"whole","key":["10.0.0.1"],"value":"x"}');
INSERT INTO changes VALUES('site','row','whole','Ip(10.0.0.2, 32)',1796140590622073002,2876140590621655858,'{"add":"whole","key":["10.0.0.2"],"value":"y","for":"1079999999999794242ns"}');
INSERT INTO changes VALUES('site','station','s','',1796140590701568023,NULL,'{"station":"s","is":"pcapng \"/captures/s2.pcapng\"","origin":{"owner":true}}');
INSERT INTO changes VALUES('site','suppress','host','Text([111, 117, 114, 115, 46, 101, 120, 97, 109, 112, 108, 101])',1796140590689635141,NULL,'{"key":["ours.example"],"reason":"ours","suppress":"host"}');
INSERT INTO changes VALUES('site','suppress','talk','Ip(10.0.0.2, 32), Num(443)',1796140590695197449,2876140590695197449,'{"key":["10.0.0.2","443"],"for":"300000h","reason":"ours","suppress":"talk"}');
INSERT INTO changes VALUES('site','whole','whole','',1796140590622073002,NULL,'{"whole":"whole"}');
CREATE TABLE sequence (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER);
INSERT INTO sequence VALUES(1,32);
COMMIT;
