#!/usr/bin/env python3
"""eigen: downloads of chat platforms as their owners get them, made from the format's facts alone (no code of the readers; invented people).

downloads.py FOLDER fills FOLDER with: facebook/ (inbox of two files, a group, a message request), facebook.zip (the same), facebook-eerder/ (a month
earlier), messenger/ (end-to-end encrypted), x/, x.zip, linkedin/, linkedin-eerder/, snapchat/, snapchat-oud/ (the older shape).
"""
import json
import os
import sys
import zipfile

PNG = b"\x89PNG\r\n\x1a\n" + b"eigen picture"
OGG = b"OggS" + b"eigen sound"
T0 = 1767225600000  # 2026-01-01T00:00:00Z in ms


def put(root, name, data):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode("utf-8"))


def zipped(folder, to):
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as z:
        for d, dirs, files in os.walk(folder):
            dirs.sort()
            for f in sorted(files):
                p = os.path.join(d, f)
                z.write(p, os.path.relpath(p, folder))


# ---- Meta -----------------------------------------------------------------------------------------------------------------

def mangled(value):
    """Every string as Meta writes it: each UTF-8 byte as a character of its own."""
    if isinstance(value, str):
        return value.encode("utf-8").decode("latin-1")
    if isinstance(value, list):
        return [mangled(v) for v in value]
    if isinstance(value, dict):
        return {k: mangled(v) for k, v in value.items()}
    return value


def as_meta(value):
    return json.dumps(mangled(value), indent=2)  # ensure_ascii: é is \u00c3\u00a9


def generic(who, minute, text=None, **more):
    m = {"sender_name": who, "timestamp_ms": T0 + minute * 60000}
    if text is not None:
        m["content"] = text
    m.update({"type": "Generic", "is_unsent": False, "is_geoblocked_for_viewer": False})
    m.update(more)
    return m


ME, ANNE, BOB = "Jörgen Vos", "Anne-Fleur Müller", "Bob ’t Hart"


def facebook(root, early):
    top = "your_facebook_activity/messages"
    thread = "inbox/annefleurmuller_100001234567890"
    people = [{"name": ANNE}, {"name": ME}]
    tail = {"title": ANNE, "is_still_participant": True, "thread_path": thread, "magic_words": []}
    old = [generic(ME, 2, "Goed, café om twee uur? ☕"),
           generic(ANNE, 1, "Kun je vóór vrijdag de nota sturen?", reactions=[{"reaction": "👍", "actor": ME, "timestamp": T0 // 1000 + 90}]),
           generic(ANNE, 0, "Dag Jörgen")]
    new = [generic(ME, 14, is_unsent=True),
           {"sender_name": ANNE, "timestamp_ms": T0 + 13 * 60000, "type": "Payment", "content": "Een betaling", "waarde": {"bedrag": 3}},
           generic(ANNE, 12),
           {"sender_name": ME, "timestamp_ms": T0 + 11 * 60000, "type": "Call", "call_duration": 0, "missed": True},
           {"sender_name": ANNE, "timestamp_ms": T0 + 10 * 60000, "type": "Call", "call_duration": 75},
           generic(ME, 9, "Zie ook", share={"link": "https://voorbeeld.nl/nota?x=1", "share_text": "Nota – versie 2"}, type="Share"),
           generic(ANNE, 8, sticker={"uri": "%s/stickers_used/1.png" % top, "ai_stickers": []}),
           generic(ANNE, 7, audio_files=[{"uri": "%s/%s/audio/klik.ogg" % (top, thread), "creation_timestamp": T0 // 1000}]),
           generic(ANNE, 6, "foto’s", photos=[{"uri": "%s/%s/photos/een.png" % (top, thread), "creation_timestamp": T0 // 1000},
                                             {"uri": "%s/%s/photos/weg.jpg" % (top, thread)}],
                   reactions=[{"reaction": "❤", "actor": ME}, {"reaction": "😮", "actor": ANNE}])]
    if early:
        put(root, "%s/%s/message_1.json" % (top, thread), as_meta({"participants": people, "messages": old, **tail}))
        return
    put(root, "%s/%s/message_2.json" % (top, thread), as_meta({"participants": people, "messages": old, **tail}))
    put(root, "%s/%s/message_1.json" % (top, thread), as_meta({"participants": people, "messages": new, **tail}))
    put(root, "%s/%s/photos/een.png" % (top, thread), PNG)
    put(root, "%s/%s/audio/klik.ogg" % (top, thread), OGG)
    put(root, "%s/stickers_used/1.png" % top, PNG)
    group = {"participants": [{"name": ANNE}, {"name": BOB}, {"name": ME}],
             "messages": [{"sender_name": BOB, "timestamp_ms": T0 + 22 * 60000, "type": "Unsubscribe", "users": [{"name": BOB}], "content": "Bob heeft de groep verlaten."},
                          {"sender_name": ME, "timestamp_ms": T0 + 21 * 60000, "type": "Subscribe", "users": [{"name": BOB}], "content": "Jörgen heeft Bob toegevoegd."},
                          generic("Facebookgebruiker", 20, "wie was dit ook weer")],
             "title": "Überleg 🌊", "is_still_participant": True, "thread_type": "RegularGroup", "thread_path": "archived_threads/uberleg_200009876543210",
             "joinable_mode": {"mode": 1, "link": ""}}
    put(root, "%s/archived_threads/uberleg_200009876543210/message_1.json" % top, "\ufeff" + as_meta(group))
    put(root, "%s/message_requests/bob_3/message_1.json" % top, as_meta({"participants": [{"name": BOB}, {"name": ME}], "messages": [generic(BOB, 30, "Hoi")], "title": BOB, "thread_path": "message_requests/bob_3"}))
    put(root, "your_facebook_activity/posts/your_posts_1.json", as_meta([{"timestamp": 1, "data": [{"post": "geen gesprek"}]}]))
    put(root, "preferences/language.json", as_meta({"language": "nl"}))


def messenger(root):
    """The end-to-end encrypted download: other names, real UTF-8, and some of it broken the other way (Windows-1252)."""
    broken = "Ik stuur ’m zó – café".encode("utf-8").decode("cp1252")
    messages = [{"isUnsent": False, "media": [], "reactions": [], "senderName": ME, "text": "Het is gelukt 😀", "timestamp": T0 + 5 * 60000, "type": "text"},
                {"isUnsent": False, "media": [{"uri": "./media/0a1b-2c.png"}], "reactions": [{"actor": ANNE, "reaction": "😍"}], "senderName": ME, "text": "", "timestamp": T0 + 4 * 60000, "type": "media"},
                {"isUnsent": False, "media": [{"uri": "Failed to download media"}], "reactions": [], "senderName": ANNE, "text": "", "timestamp": T0 + 3 * 60000, "type": "media"},
                {"isUnsent": True, "media": [], "reactions": [], "senderName": ANNE, "text": "", "timestamp": T0 + 2 * 60000, "type": "text"},
                {"isUnsent": False, "media": [], "reactions": [], "senderName": ANNE, "text": "Dit bericht kan niet worden getoond", "timestamp": T0 + 60000, "type": "placeholder"},
                {"isUnsent": False, "media": [], "reactions": [], "senderName": ANNE, "text": broken, "timestamp": T0, "type": "text"}]
    put(root, "Anne-Fleur Müller_12.json", json.dumps({"participants": [ME, ANNE], "threadName": "Anne-Fleur Müller_12", "messages": messages}, ensure_ascii=False, indent=2))
    put(root, "Bob_4.json", json.dumps({"participants": [ME, BOB], "threadName": "Bob_4", "messages": messages[:1]}, ensure_ascii=False))
    put(root, "media/0a1b-2c.png", PNG)


def meta(out):
    facebook(os.path.join(out, "facebook"), False)
    facebook(os.path.join(out, "facebook-eerder"), True)
    zipped(os.path.join(out, "facebook"), os.path.join(out, "facebook.zip"))
    messenger(os.path.join(out, "messenger"))


# ---- X --------------------------------------------------------------------------------------------------------------------

def iso(minute):
    seconds = T0 // 1000 + minute * 60
    return "2026-01-01T%02d:%02d:00.%03dZ" % ((seconds // 3600) % 24, (seconds // 60) % 60, minute % 1000)


def as_x(stem, part, value):
    return "window.YTD.%s.part%d = %s" % (stem, part, json.dumps(value, indent=2, ensure_ascii=False))


def x_folder(root):
    me, other, third = "25401953", "42", "77"

    def create(number, who, to, minute, text, **more):
        m = {"recipientId": to, "reactions": [], "urls": [], "text": text, "mediaUrls": [], "senderId": who, "id": str(number), "createdAt": iso(minute), "editHistory": []}
        m.update(more)
        return {"messageCreate": m}

    direct = [create(105, me, other, 5, "En dit is de laatste 🐦"),
              create(104, other, me, 4, "Oud of nieuw?", editHistory=[{"createdAtSec": str(T0 // 1000 + 240), "editedText": "Oud?"}]),
              create(103, other, me, 3, "https://t.co/abc", urls=[{"url": "https://t.co/abc", "expanded": "https://voorbeeld.nl/nota", "display": "voorbeeld.nl/nota"}]),
              create(102, me, other, 2, "Foto https://t.co/def", mediaUrls=["https://ton.twitter.com/dm/102/101/een.png", "https://ton.twitter.com/dm/102/101/weg.jpg"],
                     reactions=[{"senderId": other, "reactionKey": "excited", "eventId": "900", "createdAt": iso(6)}]),
              create(101, other, me, 1, "Dag")]
    put(root, "data/direct-messages.js", as_x("direct_messages", 0, [{"dmConversation": {"conversationId": "42-25401953", "messages": direct[:3]}}]))
    put(root, "data/direct-messages-part1.js", as_x("direct_messages", 1, [{"dmConversation": {"conversationId": "42-25401953", "messages": direct[3:]}},
                                                                          {"dmConversation": {"conversationId": "77-25401953", "messages": [create(201, third, me, 7, "Hallo")]}}]))
    group = [{"participantsLeave": {"userIds": [third], "createdAt": iso(16)}},
             {"conversationNameUpdate": {"initiatingUserId": other, "name": "Waterkering ✔", "createdAt": iso(15)}},
             create(303, third, "", 14, "Ik ga"),
             {"reactionCreate": {"senderId": me, "reactionKey": "like", "eventId": "901", "createdAt": iso(13), "messageId": "302"}},
             create(302, other, "", 12, "Welkom"),
             {"participantsJoin": {"initiatingUserId": other, "userIds": [third], "createdAt": iso(11)}},
             {"trustConversation": {"requestId": "9", "reason": "accept", "createdAt": iso(10), "waarde": 3}},
             {"joinConversation": {"initiatingUserId": other, "participantsSnapshot": [other, me], "createdAt": iso(9)}}]
    put(root, "data/direct-messages-group.js", as_x("direct_messages_group", 0, [{"dmConversation": {"conversationId": "1700000000000000001", "messages": group}}]))
    put(root, "data/direct-message-headers.js", as_x("direct_message_headers", 0, [{"dmConversation": {"conversationId": "42-25401953", "messages": [
        {"messageCreate": {"id": "105", "senderId": me, "recipientId": other, "createdAt": iso(5)}}]}}]))
    put(root, "data/account.js", as_x("account", 0, [{"account": {"email": "j@voorbeeld.nl", "username": "jvos", "accountId": me, "accountDisplayName": "Jörgen Vos"}}]))
    put(root, "data/direct_messages_media/102-een.png", PNG)
    put(root, "data/direct_messages_media/103-los.png", PNG)
    put(root, "data/tweets.js", as_x("tweets", 0, []))


def x(out):
    x_folder(os.path.join(out, "x"))
    zipped(os.path.join(out, "x"), os.path.join(out, "x.zip"))


# ---- LinkedIn -------------------------------------------------------------------------------------------------------------

COLUMNS = ["CONVERSATION ID", "CONVERSATION TITLE", "FROM", "SENDER PROFILE URL", "TO", "RECIPIENT PROFILE URLS", "DATE", "SUBJECT", "CONTENT", "FOLDER",
           "ATTACHMENTS", "IS MESSAGE DRAFT", "IS CONVERSATION DRAFT"]


def utc(minute):
    return iso(minute)[:19].replace("T", " ") + " UTC"


def linkedin_rows():
    url = "https://www.linkedin.com/in/"
    me, anne, bob = ("Jörgen Vos", url + "jorgenvos"), ("Anne-Fleur Müller, PhD", url + "annefleur"), ("Bob ’t Hart", url + "bobthart")

    def row(talk, who, to, minute, content, title="", subject="", folder="INBOX", attachments="", draft="No"):
        return [talk, title, who[0], who[1], ",".join(t[0] for t in to), ",".join(t[1] for t in to), "" if draft == "Yes" else utc(minute), subject, content,
                folder, attachments, draft, "No"]

    one, group = "2-YTQ0ZmUyNWEtYjg=", "2-ZZZ0ZmUyNWEtYjg="
    return [row(one, me, [anne], 0, "Dit is nooit verstuurd", draft="Yes"),
            row(one, anne, [me], 9, "", attachments="https://www.linkedin.com/dms/prv/image/abc nota.pdf"),
            row(group, bob, [me, ("Cees", url + "cees")], 8, "Allen, zie \"bijlage 2\";\nen tot morgen", title="Overleg, waterkering"),
            row(one, me, [anne], 7, "<p class=\"spinmail\">Dag Anne,</p><p>Zie <a href=\"https://voorbeeld.nl\">de nota</a> &amp; bel me.</p>", subject="Over de nota", folder="SENT"),
            row(group, me, [bob, ("Cees", url + "cees")], 6, "Prima 👍", title="Overleg, waterkering"),
            row(one, anne, [me], 5, "Eerste regel,\ntweede regel")]


def as_csv(rows, eol):
    quote = lambda v: '"' + v.replace('"', '""') + '"' if any(c in v for c in ',"\n\r') else v
    return eol.join([",".join('"%s"' % c for c in COLUMNS)] + [",".join(quote(v) for v in r) for r in rows]) + eol


def linkedin(out):
    rows = linkedin_rows()
    put(out, "linkedin/messages.csv", as_csv(rows, "\n"))
    put(out, "linkedin/nota.pdf", b"%PDF-1.4 eigen")
    put(out, "linkedin/learning_role_play_messages.csv", "SESSION,CONTENT\n1,geen gesprek\n")
    put(out, "linkedin/Connections.csv", "Notes:\n\nFirst Name,Last Name\n")
    put(out, "linkedin-eerder/messages.csv", as_csv(rows[4:], "\r\n"))
    zipped(os.path.join(out, "linkedin"), os.path.join(out, "linkedin.zip"))


# ---- Snapchat -------------------------------------------------------------------------------------------------------------

def snapchat(out):
    me, friend, group = "jorgenvos", "anne_fleur", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"

    def entry(who, minute, kind, content="", title=None, saved=True, media="", **more):
        e = {"From": who, "Media Type": kind, "Created": utc(minute), "Content": content, "Conversation Title": title, "IsSender": who == me,
             "Created(microseconds)": T0 + minute * 60000 + 123, "IsSaved": saved, "Media IDs": media}
        e.update(more)
        return e

    chats = {friend: [entry(me, 9, "STATUSCALLMISSEDVIDEO"), entry(friend, 8, "STATUSERASEDMESSAGE"), entry(friend, 7, "TEXT", saved=False),
                      entry(me, 6, "MEDIA", media="b~EiQSFTM0AAA | b~EiQSFTM0BBB | b~EiQSFTM0CCC"), entry(friend, 5, "MAPREACTION", "hart", waarde=3),
                      entry(friend, 4, "TEXT", "Tom &amp; Jerry &lt;3 &#39;ja&#39; 😀"), entry(me, 3, "TEXT", "Hoi")],
             group: [entry(friend, 12, "STATUSPARTICIPANTREMOVED", title="Überleg"), entry("cees", 11, "STATUSCONVERSATIONCAPTURESCREENSHOT", title="Überleg"),
                     entry("cees", 10, "TEXT", "Welkom", title="Überleg")]}
    for folder, skip in (("snapchat", 0), ("snapchat-eerder", 4)):
        some = {k: v[skip if k == friend else 2:] if skip else v for k, v in chats.items()}
        put(out, folder + "/json/chat_history.json", json.dumps(some, ensure_ascii=False, indent=2))
    put(out, "snapchat/json/snap_history.json", json.dumps({friend: [{"From": friend, "Media Type": "IMAGE", "Created": utc(20), "Conversation Title": None, "IsSender": False,
                                                                     "Created(microseconds)": T0 + 20 * 60000}]}, indent=2))
    put(out, "snapchat/json/account.json", json.dumps({"Basic Information": {"Username": me, "Name": "Jörgen Vos"}}))
    put(out, "snapchat/chat_media/2026-01-01_b~EiQSFTM0AAA.png", PNG)
    put(out, "snapchat/chat_media/2026-01-01_b~EiQSFTM0BBB.ogg", OGG)
    put(out, "snapchat/chat_media/2026-01-01_media~zip-1.png", PNG)
    old = {"Received Saved Chat History": [{"From": friend, "Media Type": "TEXT", "Created": utc(2), "Text": "Zie &quot;oud&quot;"}],
           "Sent Saved Chat History": [{"To": friend, "Media Type": "TEXT", "Created": utc(1), "Text": "Ouder"}, {"To": "cees", "Media Type": "MEDIA", "Created": utc(0), "Text": ""}],
           "Received Unsaved Chat History": []}
    put(out, "snapchat-oud/json/chat_history.json", json.dumps(old, ensure_ascii=False, indent=2))
    zipped(os.path.join(out, "snapchat"), os.path.join(out, "snapchat.zip"))


MAKERS = [meta, x, linkedin, snapchat]

if __name__ == "__main__":
    for make in MAKERS:
        make(sys.argv[1])
