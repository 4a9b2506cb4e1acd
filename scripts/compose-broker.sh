# Runs RocketMQ's broker in its official image and hands SIGTERM on to Java: the image's own scripts do not, so that
# "docker stop" would kill the broker before it could unregister.
set -eu
conf=/tmp/broker.conf
{
	echo "brokerClusterName=DefaultCluster"
	echo "brokerName=$BROKER_NAME"
	echo "brokerId=0"
	echo "listenPort=$BROKER_PORT"
	echo "autoCreateTopicEnable=true"
	echo "mappedFileSizeCommitLog=67108864"
	echo "diskMaxUsedSpaceRatio=95"
	[ -z "${BROKER_IP:-}" ] || echo "brokerIP1=$BROKER_IP"
} >"$conf"

stop() {
	for proc in /proc/[0-9]*; do
		case "$(readlink "$proc/exe" 2>/dev/null || true)" in
		*/java) kill -TERM "${proc#/proc/}" 2>/dev/null || true ;;
		esac
	done
}
trap stop TERM INT

sh "$ROCKETMQ_HOME/bin/mqbroker" -c "$conf" &
# A wait that a signal ends returns at once, with Java still shutting down: wait again until it is gone.
status=0
while kill -0 $! 2>/dev/null; do
	status=0
	wait $! || status=$?
done
exit "$status"
