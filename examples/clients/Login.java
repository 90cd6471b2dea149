import java.net.URI;
import java.net.URLEncoder;
import java.net.http.*;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.*;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * Asks authsvc about one login: AUTHSVC_URL=https://... AUTHSVC_KEY=... java Login.java USERNAME <PASSWORD
 * Exit code: 0 let the user in, 1 do not, 2 unknown, try later, 3 somebody must mend something.
 */
class Login {
    static final String WRONG = "Wrong username or password.";
    static final String CHANGE = "Your password must be changed before you can log in.";
    static final Map<Integer, String> REFUSED = Map.of(1, WRONG, 2, WRONG,
        3, "Your account is locked.", 4, "Your account is disabled.",
        5, "Your account has expired.", 6, CHANGE, 7, CHANGE, 8, "You may not use this service.");
    static final Pattern STATUS = Pattern.compile("\\{\"status\":(\\d{1,9}),"); // always the first member
    static { System.setProperty("jdk.httpclient.keepalive.timeout", "90"); } // seconds; authsvc closes after 120
    static final HttpClient CLIENT = HttpClient.newBuilder() // one for all logins; it follows no redirect
        .version(HttpClient.Version.HTTP_1_1).build();

    record Result(int code, String message) {}

    static Result login(String username, String password) {
        username = username.replaceAll("(?U)^\\s+|\\s+$", ""); // the password is never trimmed
        if (username.isEmpty() || username.getBytes(UTF_8).length > 256
                || username.chars().anyMatch(Character::isISOControl)
                || password.isEmpty() || password.getBytes(UTF_8).length > 1024 || password.indexOf(0) >= 0)
            return new Result(1, WRONG);
        int status = -1;
        String seconds = "30", text = "";
        try {
            var request = HttpRequest.newBuilder(URI.create(System.getenv("AUTHSVC_URL") + "/auth"))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .header("Authorization", "Bearer " + System.getenv("AUTHSVC_KEY"))
                .POST(HttpRequest.BodyPublishers.ofString("username=" + URLEncoder.encode(username, UTF_8)
                    + "&password=" + URLEncoder.encode(password, UTF_8))).build();
            var response = CLIENT.sendAsync(request, HttpResponse.BodyHandlers.ofString())
                .get(15, TimeUnit.SECONDS); // for the whole answer; longer than AUTH_TIMEOUT
            text = response.body();
            seconds = response.headers().firstValue("Retry-After").filter(s -> s.matches("\\d+")).orElse("30");
            var match = STATUS.matcher(text);
            if (match.lookingAt()) status = Integer.parseInt(match.group(1));
            else throw new IllegalStateException("no answer of authsvc: " + text);
        } catch (Exception e) { // no connection, no answer in time, or one that is not authsvc's
            System.err.println("authsvc: " + e);
        }
        if (status == 0) return new Result(0, "Welcome.");
        if (REFUSED.containsKey(status)) return new Result(1, REFUSED.get(status));
        if (status == 9) return new Result(2, "Too many attempts. Try again in " + seconds + " seconds.");
        if (status == -1 || status >= 11 && status <= 13)
            return new Result(2, "Login is not possible at the moment. Try again in " + seconds + " seconds.");
        System.err.println("authsvc: " + text); // with the request ID
        return new Result(3, "Login is out of order.");
    }

    public static void main(String[] args) throws Exception {
        var line = new java.io.BufferedReader(new java.io.InputStreamReader(System.in, UTF_8)).readLine();
        var result = login(args[0], line == null ? "" : line);
        System.out.println(result.message());
        System.exit(result.code());
    }
}
