// PeerEvent.java: what the Java peers take out of a document, with Jackson's streaming parser: one pass that stops as soon as it has the fields.
//
// user-counts groups by user and keeps all; ysb groups by the campaign, which an ad's id begins with, and keeps views.
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

public class PeerEvent {
    public static final String TOPIC = "events", OUTPUT = "results";
    private static final JsonFactory JSON = new JsonFactory();

    public String group;
    public long time;

    public PeerEvent() {}

    public static long windowMs(String workload) {
        return workload.equals("ysb") ? 10_000 : 300_000;
    }

    /** The event of a document, or null where the workload's filter drops it. */
    public static PeerEvent parse(String workload, byte[] document) throws IOException {
        return workload.equals("ysb") ? parseAd(document) : parseUser(document);
    }

    private static PeerEvent parseUser(byte[] document) throws IOException {
        PeerEvent event = new PeerEvent();
        try (JsonParser parser = JSON.createParser(document)) {
            parser.nextToken();
            for (int found = 0; found < 2 && parser.nextToken() == JsonToken.FIELD_NAME;) {
                String name = parser.currentName();
                parser.nextToken();
                if (name.equals("user")) {
                    event.group = parser.getText();
                    found++;
                } else if (name.equals("ts")) {
                    event.time = parser.getLongValue();
                    found++;
                } else {
                    parser.skipChildren();
                }
            }
        }
        return event;
    }

    private static PeerEvent parseAd(byte[] document) throws IOException {
        PeerEvent event = new PeerEvent();
        try (JsonParser parser = JSON.createParser(document)) {
            parser.nextToken();
            for (int found = 0; found < 3 && parser.nextToken() == JsonToken.FIELD_NAME;) {
                String name = parser.currentName();
                parser.nextToken();
                if (name.equals("ad_id")) {
                    event.group = parser.getText().substring(0, 8);
                    found++;
                } else if (name.equals("event_type")) {
                    if (!parser.getText().equals("view")) return null;
                    found++;
                } else if (name.equals("event_time")) {
                    event.time = Long.parseLong(parser.getText());
                    found++;
                } else {
                    parser.skipChildren();
                }
            }
        }
        return event;
    }

    /** The key of a result. */
    public static byte[] key(String group, long start) {
        return ("{\"group\":\"" + group + "\",\"window_start\":" + start + "}").getBytes(StandardCharsets.UTF_8);
    }

    /** The value of a result. */
    public static byte[] value(String group, long start, long end, long count) {
        return ("{\"group\":\"" + group + "\",\"window_start\":" + start + ",\"window_end\":" + end + ",\"count\":" + count + "}")
            .getBytes(StandardCharsets.UTF_8);
    }
}
